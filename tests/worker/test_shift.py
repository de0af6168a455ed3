"""The shift: bells, lanes, stores that go away, engines that fail, and being asked to stop."""

import threading
from dataclasses import replace

import pytest

from engine import EngineClosed
from services.infra.doorbell import MemoryDoorbell
from services.infra.errors import StoreUnavailable
from services.infra.frames import RedisFrames
from services.infra.ledger import RedisLedger, Stage
from services.infra.names import Lane
from tests.conftest import FreshRedis, WaitUntil
from tests.worker.fake_engine import Trait
from tests.worker.plant import DENT, GOOD, Plant
from worker import shift as shift_module
from worker.ticker import Ticker


def test_a_shift_answers_the_bell_that_rang(plant: Plant) -> None:
    """The other lane's ring still stands in its own queue, and its own shift will answer it."""
    bell = MemoryDoorbell()
    bell.ring(Lane.INSPECT)
    bell.ring(Lane.DIAGNOSE)
    replace(plant, bell=bell).shift().run(Lane.INSPECT)
    assert bell.waiting == {Lane.DIAGNOSE}


def test_an_escalated_part_rings_for_its_report(plant: Plant) -> None:
    """A worker that serves the other lane alone hears of the work."""
    bell = MemoryDoorbell()
    plant.submit("dented", DENT)
    replace(plant, bell=bell).shift(lanes=(Lane.INSPECT,)).run(Lane.INSPECT)
    assert bell.waiting == {Lane.DIAGNOSE}
    assert plant.state("dented").stage is Stage.DIAGNOSING


def test_a_worker_serves_only_its_lanes(plant: Plant) -> None:
    """A second card can be given to reports alone."""
    plant.submit("dented", DENT)
    plant.shift(lanes=(Lane.INSPECT,)).run(Lane.INSPECT)
    plant.submit("good", GOOD)
    plant.shift(lanes=(Lane.DIAGNOSE,)).run(Lane.DIAGNOSE)
    assert plant.state("dented").stage is Stage.REPORTED
    assert plant.state("good").stage is Stage.WAITING


def test_a_long_shift_makes_room_for_celery_and_rings_again(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a lane never runs dry, the shift ends by itself and asks for the next one."""
    monkeypatch.setattr(shift_module, "SHIFT_SECONDS", 0.0)
    bell = MemoryDoorbell()
    for number in range(20):
        plant.submit(f"part-{number}")
    replace(plant, bell=bell).shift().run(Lane.INSPECT)
    assert plant.ledger.waiting(Lane.INSPECT) == 12
    assert bell.waiting == {Lane.INSPECT}


def test_asked_to_stop_a_shift_finishes_its_batch(plant: Plant) -> None:
    """The batch in hand is committed, and what was not begun is left for others."""
    for number in range(20):
        plant.submit(f"part-{number}")
    plant.engine.before_score = plant.stop.set
    plant.work()
    assert plant.ledger.waiting(Lane.INSPECT) == 12
    assert len(plant.ledger.read(Lane.INSPECT, "next-worker", 20)) == 12


def test_a_store_that_is_away_costs_no_part_a_delivery(plant: Plant, fresh_redis: FreshRedis) -> None:
    """The frame store dies under a batch: the parts go back untouched and are judged later."""
    server = fresh_redis()
    plant = replace(plant, frames=RedisFrames(server.url))
    for number in range(3):
        plant.submit(f"part-{number}")
    server.kill()
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            plant.work()
    server.start()
    plant.work()
    assert [plant.state(f"part-{number}").stage for number in range(3)] == [Stage.DECIDED] * 3
    assert plant.ledger.dead_letters(10) == []


def test_the_ledger_dies_and_comes_back_in_the_middle(plant: Plant, fresh_redis: FreshRedis) -> None:
    """Redis is killed between score and commit: each part still ends with one verdict."""
    server = fresh_redis()
    plant = replace(plant, ledger=RedisLedger(server.url, claim_idle_ms=200), claim_idle_ms=200)
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
    results = plant.ledger.read_results("clerk", 100)
    assert len([entry for entry in results if entry.verdict]) == 4
    assert len([entry for entry in results if entry.report]) == 4


def test_a_part_that_breaks_the_engine_is_buried_and_its_mates_are_judged(plant: Plant) -> None:
    """Each broken engine counts as a delivery; tried alone, the innocent succeed at the next one."""
    plant.submit("before")
    plant.submit("breaker", trait=Trait.ENGINE_FAILURE)
    plant.submit("after")
    failures = 0
    while plant.ledger.waiting(Lane.INSPECT):
        try:
            plant.work()
        except EngineClosed:
            failures += 1
    assert failures == 3
    assert plant.state("breaker").stage is Stage.DEAD
    assert plant.state("before").stage is Stage.DECIDED
    assert plant.state("after").stage is Stage.DECIDED


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
