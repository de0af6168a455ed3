"""Real worker processes on real Redis, killed at any moment; each part is counted from outside."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from services.infra.intake import RecipeBook
from services.infra.local_redis import RedisServer
from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import RESULTS_QUEUE, SUBMIT_TASK, Queue
from services.infra.process.run import EXIT_CONFIGURATION
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger, ResultEntry, Stage
from services.infra.stores.results import ResultFilters, ResultStore
from services.infra.stores.wake_up import WakeUp
from tests.conftest import ROOT, FreshRedis, WaitUntil
from tests.worker.fake_engine import FakeEngine, Trait
from tests.worker.plant import DENT, GOOD, Plant, write_recipe
from tests.worker.test_submit import message
from worker.app import create_app

# Each start of a worker imports torch, which takes long on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = 200.0


@dataclass
class Site:
    """A plant whose workers are other processes."""

    plant: Plant
    ledger_server: RedisServer
    environment: dict[str, str]

    @contextmanager
    def process(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the product, killed at the end of the block if it still runs."""
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=self.environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def worker(self, number: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A GPU worker with the painted engine."""
        return self.process("-m", "tests.worker.worker_process", str(number))

    def is_drained(self) -> bool:
        """Whether no queue holds anything; a ledger that is away is not drained."""
        with suppress(StoreUnavailable):
            return not any(self.plant.ledger.jobs.waiting(queue) for queue in Queue)
        return False


@pytest.fixture
def site(fresh_redis: FreshRedis, frames_redis: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """A ledger that may be killed, a frame store, one recipe, and the settings of the processes."""
    server = fresh_redis()
    recipes = write_recipe(tmp_path / "recipes")
    engine = FakeEngine()
    plant = Plant(
        ledger=Ledger(server.url, lease_ms=3000),
        frames=FrameStore(frames_redis.url),
        recipes=RecipeBook(recipes),
        engine=engine,
        wake_up=WakeUp(server.url),
    )
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LYNCEUS_LEDGER_URL": server.url,
        "LYNCEUS_FRAMES_URL": frames_redis.url,
        "LYNCEUS_DATABASE_URL": f"sqlite:///{tmp_path}/lynceus.db",
        "LYNCEUS_RECIPES_DIR": str(recipes),
        "LYNCEUS_ARCHIVE_DIR": str(tmp_path / "archive"),
        "LYNCEUS_LEASE_MS": "3000",
    }
    yield Site(plant, server, environment)
    engine.close()


def all_results(plant: Plant) -> list[ResultEntry]:
    """Everything the workers handed to the result writer."""
    results: list[ResultEntry] = []
    while entries := plant.ledger.outbox.read("auditor", 100):
        results += entries
    return results


def test_workers_are_killed_and_redis_restarts_and_each_part_ends_once(
    site: Site, wait_until: WaitUntil
) -> None:
    """SIGKILL in the middle of batches, a frame that kills its worker each time, Redis killed under load.

    Counted from outside: every accepted part has exactly one verdict and one terminal state, every escalated
    part exactly one report, and the killer frame is the only dead letter.
    """
    plant = site.plant
    accepted = [f"part-{number}" for number in range(60)]
    for number, result_id in enumerate(accepted):
        plant.submit(result_id, DENT if number % 3 == 0 else GOOD, seconds_left=3600.0)
    plant.submit("killer", GOOD, Trait.KILLER, seconds_left=3600.0)
    started = 0
    for at_most_waiting in (50, 35):
        started += 1
        with site.worker(started) as worker:
            wait_until(lambda: plant.ledger.jobs.waiting(Queue.INSPECT) <= at_most_waiting, PATIENCE)  # noqa: B023
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    site.ledger_server.kill()
    site.ledger_server.start()
    while not site.is_drained():
        started += 1
        assert started < 12, "the killer frame is not dead-lettered"
        with site.worker(started) as worker:
            wait_until(lambda: site.is_drained() or worker.poll() is not None, PATIENCE)
    results = all_results(plant)
    verdicts = Counter(entry.result_id for entry in results if entry.verdict)
    reports = Counter(entry.result_id for entry in results if entry.report)
    assert verdicts == Counter([*accepted, "killer"])
    assert reports == Counter(accepted[::3])
    assert {plant.state(result_id).stage for result_id in accepted[::3]} == {Stage.REPORTED}
    assert {plant.state(result_id).stage for result_id in accepted[1::3]} == {Stage.DECIDED}
    assert [letter.result_id for letter in plant.ledger.jobs.dead_letters(10)] == ["killer"]


def test_what_a_killed_worker_held_is_taken_over_long_before_its_lease_ends(
    site: Site, wait_until: WaitUntil
) -> None:
    """The ledger knows that the process is gone, so that the next worker need not wait for the lease."""
    plant = site.plant
    site.environment["LYNCEUS_LEASE_MS"] = "3600000"
    for number in range(3):
        plant.submit(f"part-{number}", GOOD, Trait.HANGING if number == 2 else Trait.HARMLESS)
    plant.submit("killer", GOOD, Trait.KILLER)
    with site.worker(1) as worker:
        wait_until(lambda: worker.poll() is not None, PATIENCE)
    left = plant.ledger.jobs.waiting(Queue.INSPECT)
    assert left >= 2
    ledger = Ledger(site.ledger_server.url, lease_ms=3_600_000)
    taken = wait_until(lambda: ledger.jobs.read(Queue.INSPECT, "next-worker", 10))
    assert len(taken) == left
    assert {entry.deliveries for entry in taken} == {2}


def test_a_worker_survives_redis_and_stops_cleanly(site: Site, wait_until: WaitUntil) -> None:
    """Redis is killed and restarted under an idle worker, which goes on by itself; SIGTERM ends it with 0."""
    plant = site.plant
    with site.worker(1) as worker:
        plant.submit("before", GOOD, seconds_left=3600.0)
        wait_until(lambda: plant.state("before").stage is Stage.DECIDED, PATIENCE)
        site.ledger_server.kill()
        site.ledger_server.start()
        plant.submit("after", DENT, seconds_left=3600.0)
        wait_until(lambda: plant.state("after").stage is Stage.REPORTED, PATIENCE)
        (heartbeat,) = plant.ledger.telemetry.heartbeats()
        assert heartbeat.kind == "worker"
        assert heartbeat.model_name == "fake"
        assert heartbeat.queues == tuple(Queue)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0


def test_a_worker_hears_whenever_its_connections_are_cut(site: Site, wait_until: WaitUntil) -> None:
    """Every connection to the ledger is closed, at moments that move over the life of a wake-up."""
    plant, rounds = site.plant, 60
    with site.worker(1), Redis.from_url(site.ledger_server.url) as admin:
        for number in range(rounds):
            result_id = f"part-{number}"
            wait_until(lambda: _is_submitted(plant, result_id), PATIENCE)  # noqa: B023
            time.sleep(number % 20 / 1000)
            admin.client_kill_filter(_type="normal", skipme=True)
            wait_until(lambda: _is_decided(plant, result_id), PATIENCE)  # noqa: B023


def _is_submitted(plant: Plant, result_id: str) -> bool:
    with suppress(StoreUnavailable):
        plant.submit(result_id)
        plant.wake_up.send(Queue.INSPECT)
        return True
    return False


def _is_decided(plant: Plant, result_id: str) -> bool:
    with suppress(StoreUnavailable):
        return plant.state(result_id).stage is Stage.DECIDED
    return False


def test_a_worker_whose_engine_failed_exits_for_its_supervisor(site: Site, wait_until: WaitUntil) -> None:
    """The device is in doubt, so the process ends with 70 and leaves the part to the next one."""
    site.plant.submit("breaker", GOOD, Trait.ENGINE_FAILURE, seconds_left=3600.0)
    with site.worker(1) as worker:
        wait_until(lambda: worker.poll() is not None, PATIENCE)
        assert worker.returncode == 70
    (entry,) = site.plant.ledger.jobs.read(Queue.INSPECT, "next-worker", 1)
    assert entry.deliveries == 2


def test_a_worker_asked_to_stop_requeues_what_its_engine_holds(site: Site, wait_until: WaitUntil) -> None:
    """SIGTERM in the middle of a step: it ends with 0, and all it held can be read at once and uncounted."""
    plant = site.plant
    for number in range(3):
        plant.submit(f"part-{number}", GOOD, Trait.HANGING, seconds_left=3600.0)

    def parts_at_work() -> int:
        engines = [heartbeat.engine for heartbeat in plant.ledger.telemetry.heartbeats()]
        return sum(engine.verdicts.running for engine in engines if engine is not None)

    with site.worker(1) as worker:
        wait_until(lambda: parts_at_work() == 3, PATIENCE)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    entries = plant.ledger.jobs.read(Queue.INSPECT, "next-worker", 10)
    assert [entry.deliveries for entry in entries] == [1, 1, 1]


def test_a_worker_whose_engine_hangs_exits_for_its_supervisor(site: Site, wait_until: WaitUntil) -> None:
    """No signal and no error would end such a step: the watchdog says so in the heartbeat, and ends it."""
    site.plant.submit("hanging", GOOD, Trait.HANGING, seconds_left=3600.0)
    site.environment["LYNCEUS_LONGEST_STEP_SECONDS"] = "0.5"
    with site.worker(1) as worker:
        wait_until(lambda: worker.poll() is not None, PATIENCE)
        assert worker.returncode == 70
    (heartbeat,) = site.plant.ledger.telemetry.heartbeats()
    assert heartbeat.fault is not None
    assert "longer than 0.5 s" in heartbeat.fault
    (entry,) = site.plant.ledger.jobs.read(Queue.INSPECT, "next-worker", 1)
    assert entry.deliveries == 2


def test_a_part_sent_through_the_queue_ends_in_the_database(
    site: Site, tmp_path: Path, wait_until: WaitUntil
) -> None:
    """Another program's task becomes a verdict in the database; both processes stop at SIGTERM."""
    app = create_app(site.ledger_server.url)
    results = ResultStore(f"sqlite:///{tmp_path}/lynceus.db")
    with site.process("-m", "worker", "result-writer") as result_writer, site.worker(1) as worker:
        sent = message(result_id="sent", deadline_ms=600_000)
        app.send_task(SUBMIT_TASK, args=[sent], queue=RESULTS_QUEUE)
        wait_until(lambda: results.page(ResultFilters(), None, 10).results, PATIENCE)
        assert results.get("sent").verdict == site.plant.verdict("sent")
        for process in (worker, result_writer):
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0


BODIES = {"no list": {"a": 1}, "words": "hello", "nothing": None, "two parts": [1, 2]}


def test_messages_that_are_no_task_end_nobody(site: Site, wait_until: WaitUntil) -> None:
    """Each is a dead letter that says so, and the next part is taken by the same process."""
    app, ledger = create_app(site.ledger_server.url), site.plant.ledger
    with site.process("-m", "worker", "result-writer"), Redis.from_url(site.ledger_server.url) as client:
        app.send_task("nobody", args=[message(result_id="lost")], queue=RESULTS_QUEUE)
        for body in BODIES.values():
            app.send_task(SUBMIT_TASK, args=[message()], queue="aside")
            broken = json.loads(client.lpop("aside"))
            broken["body"] = base64.b64encode(json.dumps(body).encode()).decode()
            client.lpush(RESULTS_QUEUE, json.dumps(broken))
        wait_until(lambda: len(ledger.jobs.dead_letters(10)) == 1 + len(BODIES), PATIENCE)
        app.send_task(SUBMIT_TASK, args=[message(result_id="sent")], queue=RESULTS_QUEUE)
        wait_until(lambda: ledger.jobs.state("sent"), PATIENCE)
    assert {letter.problem.code for letter in ledger.jobs.dead_letters(10)} == {"bad-request"}


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LYNCEUS_CHECKPOINT", "no/such/folder", "no/such/folder"),
        ("LYNCEUS_REPORTS_AT_ONCE", "many", "LYNCEUS_REPORTS_AT_ONCE"),
        ("LYNCEUS_DEVICE", "cuda:99", "cuda:99"),
    ],
)
def test_what_keeps_a_worker_from_starting_is_told_in_words(
    site: Site, variable: str, value: str, words: str
) -> None:
    """A wrong setting, checkpoint or device ends the process with 78, its hint and no stack trace."""
    ended = subprocess.run(
        [sys.executable, "-m", "worker"],
        cwd=ROOT,
        env=site.environment | {variable: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == EXIT_CONFIGURATION
    assert words in ended.stderr
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_result_writer_runs_without_torch() -> None:
    """The result writer's machine needs neither a GPU nor the engine's libraries."""
    code = (
        "import sys, worker.result_process; assert 'torch' not in sys.modules and 'engine' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
