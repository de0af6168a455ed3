"""Staying up: what ends is started again, and Ctrl-C ends everything."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from services.cli.client import ApiClient
from services.cli.errors import ApiUnreachable
from services.cli.local.stack import free_port
from services.cli.places import RECIPES, SAMPLES
from tests.cli.conftest import Lynceus, StartLynceus
from tests.conftest import WaitUntil

START_SECONDS = 150.0


def pid_of(module: str, directory: Path) -> int:
    """The process of this command line whose stores lie below the folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if f"\0-m\0{module}\0".encode() in arguments and f"={directory}/".encode() in environment:
            return int(process.name)
    pytest.fail(f"no {module} runs for {directory}")


def read_until(command: subprocess.Popen[str], words: str) -> None:
    """Reads the command's output up to the line with these words; fails when it ends first."""
    assert command.stdout is not None
    assert any(words in line for line in command.stdout), f"it ended without saying {words!r}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_process_comes_back_and_parts_get_verdicts_again(
    start_lynceus: StartLynceus, own_directory: Path, wait_until: WaitUntil
) -> None:
    """The API is killed, comes back, and a part goes through; Ctrl-C ends everything."""
    port = free_port()
    up = start_lynceus("up", "--port", str(port), "--recipes", str(RECIPES))
    read_until(up, "Ctrl-C stops it")
    os.kill(pid_of("services.web", own_directory), signal.SIGKILL)
    read_until(up, "web had ended and was started again")

    with ApiClient(f"http://127.0.0.1:{port}") as api:

        def submitted() -> str | None:
            picture = SAMPLES / "surface" / "SF-001.png"
            fields = {"recipe_id": "surface", "part_id": "SF-001", "deadline_ms": "600000"}
            try:
                return api.submit(picture.read_bytes(), picture.name, fields, key="once").result_id
            except ApiUnreachable:
                return None

        result_id = wait_until(submitted, seconds=START_SECONDS)
        assert result_id is not None
        wait_until(lambda: api.inspection(result_id).verdict, seconds=START_SECONDS)
    up.send_signal(signal.SIGINT)
    up.communicate()

    assert up.returncode == 130


def test_a_taken_port_is_said_before_anything_starts(lynceus: Lynceus, api_url: str, tmp_path: Path) -> None:
    """The port of a running API: nothing is written, and the hint names the option."""
    told = lynceus("up", "--port", api_url.rpartition(":")[2], "--directory", str(tmp_path / "own"))

    assert told.exit_code == 1
    assert "Address already in use" in told.messages
    assert "--port" in told.messages
    assert not (tmp_path / "own").exists()


def test_a_missing_sources_file_is_said_before_anything_starts(lynceus: Lynceus, tmp_path: Path) -> None:
    """Without cameras a plant has nothing to do."""
    told = lynceus("up", "--port", str(free_port()), "--sources", str(tmp_path / "none.yaml"))

    assert told.exit_code == 1
    assert "none.yaml" in told.messages
    assert not (tmp_path / "var").exists()
