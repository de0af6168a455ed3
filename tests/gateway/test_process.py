"""`python -m services.gateway`, as an operator starts and stops it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.infra.local_redis import RedisServer
from services.infra.process.names import Queue
from services.infra.process.run import EXIT_CONFIGURATION
from services.infra.stores.ledger import Ledger
from tests.conftest import FreshRedis, WaitUntil
from tests.gateway.plant import ROOT, png

# Starting Python with its imports takes a second, and minutes on a machine that is busy with other things.
pytestmark = pytest.mark.timeout(600)
PATIENCE = 140.0


def _environment(folder: Path, ledger_url: str, frames_url: str) -> dict[str, str]:
    return os.environ | {
        "LYNCEUS_LEDGER_URL": ledger_url,
        "LYNCEUS_FRAMES_URL": frames_url,
        "LYNCEUS_RECIPES_DIR": str(ROOT / "recipes"),
        "LYNCEUS_SPOOL_DIR": str(folder / "spool"),
        "LYNCEUS_SOURCES_FILE": str(folder / "sources.yaml"),
    }


def _write_sources(folder: Path, recipe: str = "surface") -> None:
    source = f"{{kind: folder, camera_id: cam-1, recipe_id: {recipe}, path: {folder}/in}}"
    (folder / "sources.yaml").write_text(f"sources: [{source}]\n")


@contextmanager
def _gateway(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_takes_files_and_stops_cleanly_on_sigterm(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """A file becomes a job, a heartbeat is seen, and SIGTERM ends the process with 0."""
    _write_sources(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "SN-1.png").write_bytes(png())
    ledger = Ledger(ledger_redis.url)
    with _gateway(_environment(tmp_path, ledger_redis.url, frames_redis.url)) as process:
        wait_until(lambda: ledger.jobs.waiting(Queue.INSPECT) == 1, PATIENCE)
        wait_until(
            lambda: any(heartbeat.kind == "gateway" for heartbeat in ledger.telemetry.heartbeats()), PATIENCE
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0


def test_it_is_killed_again_and_again_and_every_file_is_one_job(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """SIGKILL at any moment between file, frame, job and move: nothing lost, nothing twice."""
    _write_sources(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(40):
        (tmp_path / "in" / f"SN-{number:02d}.png").write_bytes(png(number))
    ledger = Ledger(ledger_redis.url)
    environment = _environment(tmp_path, ledger_redis.url, frames_redis.url)
    for at_least in (1, 15, 40):
        with _gateway(environment):
            wait_until(lambda: ledger.jobs.waiting(Queue.INSPECT) >= at_least, PATIENCE)  # noqa: B023
    with _gateway(environment):
        wait_until(lambda: not list((tmp_path / "in").glob("*.png")), PATIENCE)
    jobs = [entry.job for entry in ledger.jobs.read(Queue.INSPECT, "worker-of-the-test", 100)]
    assert sorted(job.part.part_id for job in jobs) == [f"SN-{number:02d}" for number in range(40)]


def test_without_redis_frames_are_taken_all_the_same(
    fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """The gateway starts while the ledger is away, keeps the frame on disk, and hands it on later."""
    server = fresh_redis()
    server.kill()
    _write_sources(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "SN-1.png").write_bytes(png())
    with _gateway(_environment(tmp_path, server.url, frames_redis.url)):
        wait_until((tmp_path / "in" / "processed" / "SN-1.png").exists, PATIENCE)
        server.start()
        wait_until(lambda: Ledger(server.url).jobs.waiting(Queue.INSPECT) == 1, PATIENCE)


def test_a_wrong_sources_file_stops_the_start_and_names_the_hint(
    ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path
) -> None:
    """No trace, exit 78, and the field with what exists instead."""
    _write_sources(tmp_path, recipe="surfaces")
    with _gateway(_environment(tmp_path, ledger_redis.url, frames_redis.url)) as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == EXIT_CONFIGURATION
    assert "sources.0.recipe_id" in said
    assert "Traceback" not in said
