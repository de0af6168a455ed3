"""The work loop: wake-ups, queues, stores that go away, engines that fail, and being asked to stop."""

import threading
from dataclasses import replace

import pytest

from engine import EngineClosed, Priority
from schemas.verdict import Decision
from services.infra.local_redis import RedisServer
from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import Queue
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger, Stage
from tests.conftest import FreshRedis, WaitUntil
from tests.worker.fake_engine import Trait
from tests.worker.plant import DENT, GOOD, Plant, woken
from worker import work_loop as work_loop_module
from worker.app import Ticker
from worker.watchdog import look


def test_the_work_loop_receives_the_wake_up_of_its_queue(plant: Plant, ledger_redis: RedisServer) -> None:
    """The other queue's wake-up still stands in its Celery queue, and a run of its own will receive it."""
    plant.wake_up.send(Queue.INSPECT)
    plant.wake_up.send(Queue.DIAGNOSE)
    plant.work()
    assert woken(ledger_redis) == {Queue.DIAGNOSE}


def test_an_escalated_part_wakes_a_worker_for_its_report(plant: Plant, ledger_redis: RedisServer) -> None:
    """A worker that serves the other queue alone hears of the work."""
    plant.submit("dented", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    assert woken(ledger_redis) == {Queue.DIAGNOSE}
    assert plant.state("dented").stage is Stage.DIAGNOSING


def test_a_worker_serves_only_its_queues(plant: Plant) -> None:
    """A second card can be given to reports alone."""
    plant.submit("dented", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    plant.submit("good", GOOD)
    plant.work_loop(queues=(Queue.DIAGNOSE,)).run(Queue.DIAGNOSE)
    assert plant.state("dented").stage is Stage.REPORTED
    assert plant.state("good").stage is Stage.WAITING


def test_a_long_run_returns_to_celery_and_sends_for_the_next(
    plant: Plant, ledger_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose work does not end comes to its end by itself; the next one finds the engine at work."""
    monkeypatch.setattr(work_loop_module, "TASK_SECONDS", 0.0)
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = plant.work_loop()
    while not plant.engine.writing.is_set():
        work_loop.run(Queue.INSPECT)
    assert woken(ledger_redis) == {Queue.INSPECT}
    plant.engine.gate.set()
    while plant.ledger.jobs.waiting(Queue.DIAGNOSE):
        work_loop.run(Queue.INSPECT)
    assert plant.state("dented").stage is Stage.REPORTED
    assert len(plant.engine.prompts) == 2


def test_asked_to_stop_the_work_loop_requeues_what_is_not_finished(
    plant: Plant, wait_until: WaitUntil
) -> None:
    """Parts and reports that the engine has go back uncounted; what was answered stays committed."""
    plant.engine.gate.clear()
    plant.submit("answered", DENT)
    work_loop = threading.Thread(target=plant.work)
    work_loop.start()
    wait_until(plant.engine.writing.is_set)
    hold = threading.Event()
    plant.engine.before_score = lambda: hold.wait(20)
    for number in range(20):
        plant.submit(f"part-{number}")
    wait_until(lambda: plant.engine.unfinished(Priority.VERDICT) == 8)
    plant.stop.set()
    work_loop.join(20)
    assert not work_loop.is_alive()
    assert plant.verdict("answered").decision is Decision.REJECT
    left = [entry for queue in Queue for entry in plant.ledger.jobs.read(queue, "next-worker", 100)]
    assert len(left) == 21
    assert {entry.deliveries for entry in left} == {1}
    hold.set()


def test_work_between_two_runs_can_be_requeued(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends while no loop runs leaves nothing behind that only the end of a lease would free."""
    monkeypatch.setattr(work_loop_module, "TASK_SECONDS", 0.0)
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = plant.work_loop()
    while not plant.engine.writing.is_set():
        work_loop.run(Queue.INSPECT)
    work_loop.requeue()
    (report,) = plant.ledger.jobs.read(Queue.DIAGNOSE, "next-worker", 1)
    assert report.deliveries == 1


def test_a_store_that_is_away_costs_no_part_a_delivery(plant: Plant, fresh_redis: FreshRedis) -> None:
    """The frame store dies under a batch: the parts go back untouched and are judged later."""
    server = fresh_redis()
    plant = replace(plant, frames=FrameStore(server.url))
    for number in range(3):
        plant.submit(f"part-{number}")
    server.kill()
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            plant.work()
    server.start()
    plant.work()
    assert [plant.state(f"part-{number}").stage for number in range(3)] == [Stage.DECIDED] * 3
    assert plant.ledger.jobs.dead_letters(10) == []


def test_the_ledger_dies_and_comes_back_in_the_middle(plant: Plant, fresh_redis: FreshRedis) -> None:
    """Redis is killed between score and commit: each part still ends with one verdict."""
    server = fresh_redis()
    plant = replace(plant, ledger=Ledger(server.url, lease_ms=200), lease_ms=200)
    for number in range(4):
        plant.submit(f"part-{number}", DENT)
    one_at_a_time = threading.Lock()  # the engine scores in several threads

    def kill() -> None:
        with one_at_a_time:
            server.kill()

    plant.engine.before_score = kill
    with pytest.raises(StoreUnavailable):
        plant.work()
    server.start()
    plant.engine.before_score = lambda: None
    plant.work_until_empty()
    assert [plant.state(f"part-{number}").stage for number in range(4)] == [Stage.REPORTED] * 4
    results = plant.ledger.outbox.read("result-writer", 100)
    assert len([entry for entry in results if entry.verdict]) == 4
    assert len([entry for entry in results if entry.report]) == 4


def test_what_the_engine_has_answered_is_committed_when_the_ledger_is_back(
    plant: Plant, fresh_redis: FreshRedis, wait_until: WaitUntil
) -> None:
    """The answers stay with the worker over an outage longer than the lease: nothing is asked twice."""
    server = fresh_redis()
    plant = replace(plant, ledger=Ledger(server.url, lease_ms=200), lease_ms=200)
    for number in range(3):
        plant.submit(f"part-{number}", DENT)
    work_loop = plant.work_loop()
    work_loop.step()
    server.kill()
    wait_until(lambda: plant.engine.unfinished(Priority.VERDICT) == 0)
    with pytest.raises(StoreUnavailable):
        work_loop.run(Queue.INSPECT)
    server.start()
    work_loop.run(Queue.INSPECT)
    assert [plant.state(f"part-{number}").stage for number in range(3)] == [Stage.REPORTED] * 3
    assert plant.engine.scored == 3


def test_restarts_of_the_ledger_cost_a_report_no_delivery(
    plant: Plant, fresh_redis: FreshRedis, wait_until: WaitUntil
) -> None:
    """Redis goes four times while it is written, each time for longer than the lease."""
    server = fresh_redis()
    plant = replace(plant, ledger=Ledger(server.url, lease_ms=100), lease_ms=100)
    plant.submit("dented", DENT)
    work_loop = plant.work_loop()
    plant.engine.gate.clear()
    while not plant.engine.writing.is_set():
        work_loop.step()
    for _ in range(4):
        server.kill()
        with pytest.raises(StoreUnavailable):
            work_loop.run(Queue.INSPECT)
        server.start()
        assert work_loop.step()
    plant.engine.gate.set()
    wait_until(lambda: not work_loop.step())
    assert plant.state("dented").stage is Stage.REPORTED
    assert plant.ledger.jobs.dead_letters(10) == []
    assert len(plant.engine.prompts) == 2


def test_a_part_that_breaks_the_engine_is_dead_lettered_and_its_mates_are_judged(plant: Plant) -> None:
    """Each broken engine counts as a delivery; tried alone, the innocent succeed at the next one."""
    plant.submit("before")
    plant.submit("breaker", trait=Trait.ENGINE_FAILURE)
    plant.submit("after")
    failures = 0
    while plant.ledger.jobs.waiting(Queue.INSPECT):
        try:
            plant.work()
        except EngineClosed:
            failures += 1
    assert failures == 3
    assert plant.state("breaker").stage is Stage.DEAD
    assert plant.state("before").stage is Stage.DECIDED
    assert plant.state("after").stage is Stage.DECIDED


def test_a_fault_of_ours_leaves_nothing_leased(plant: Plant) -> None:
    """The next run begins without it, and the part stays in the queue until its lease runs out."""
    plant.submit("part", trait=Trait.BUG)
    work_loop = plant.work_loop()
    with pytest.raises(ZeroDivisionError):
        work_loop.run(Queue.INSPECT)
    assert not work_loop._context.leases.held
    work_loop.run(Queue.INSPECT)
    assert plant.state("part").stage is Stage.WAITING
    assert plant.ledger.jobs.read(Queue.INSPECT, "next-worker", 1) == []


def test_an_engine_that_hangs_ends_the_work_loop(plant: Plant, wait_until: WaitUntil) -> None:
    """The watchdog tells the worker, its heartbeat says why, and the delivery of its parts counts."""
    plant.submit("hanging", trait=Trait.HANGING)
    work_loop = plant.work_loop()
    work_loop.step()
    wait_until(lambda: plant.engine.hanging_since is not None)
    assert look(work_loop._context, longest_step_seconds=3600.0).fault is None
    heartbeat = look(work_loop._context, longest_step_seconds=0.0)
    assert heartbeat.fault is not None
    assert "a step of the engine has lasted" in heartbeat.fault
    with pytest.raises(EngineClosed):
        work_loop.run(Queue.INSPECT)
    (part,) = plant.ledger.jobs.read(Queue.INSPECT, "next-worker", 1)
    assert part.deliveries == 2


def test_the_heartbeat_tells_what_the_engine_does(plant: Plant) -> None:
    """Its counts per priority, its failure in words, and where the worker's own time goes."""
    plant.submit("dented", DENT)
    work_loop = plant.work_loop()
    work_loop.run(Queue.INSPECT)
    heartbeat = look(work_loop._context, longest_step_seconds=60.0)
    assert heartbeat.fault is None
    assert heartbeat.engine is not None
    assert heartbeat.engine.verdicts.finished == 1
    assert {"read", "fetch", "decode", "prepare", "commit"} <= {time.stage for time in heartbeat.stages}
    plant.engine.failure = "the device is lost"
    assert look(work_loop._context, longest_step_seconds=60.0).fault == "the device is lost"


def test_the_ticker_outlives_a_store_that_is_away(wait_until: WaitUntil) -> None:
    """A heartbeat that cannot be written is tried again, and the duty beside it is done all the same."""
    calls: list[str] = []

    def fails() -> None:
        calls.append("fails")
        raise StoreUnavailable("Redis is away")

    ticker = Ticker([fails, lambda: calls.append("works")], seconds=0.01)
    ticker.start()
    wait_until(lambda: calls.count("works") >= 3)
    ticker.stop()
    assert calls.count("fails") >= 3
