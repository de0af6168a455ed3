"""The clerk: every result is stored once, and pixels go where the recipe says, for as long as it says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.verdict import Decision
from services.infra.archive import Archive
from services.infra.errors import FrameMissing, StoreUnavailable
from services.infra.ledger import RedisLedger, Stage
from services.infra.names import Lane
from services.infra.redis_server import RedisServer
from services.infra.results import MemoryResults, ResultFilters, ResultStore, SqlResults
from tests.worker.fake_engine import Trait
from tests.worker.plant import DENT, GOOD, RECIPE, SCRATCH, Plant, write_recipe
from worker.clerk import Clerk
from worker.progress import Progress

STORES: dict[str, Callable[[Path], ResultStore]] = {
    "memory": lambda _: MemoryResults(),
    "sqlite": lambda folder: SqlResults(f"sqlite:///{folder}/lynceus.db"),
}


@dataclass
class Desk:
    """A clerk and what it works on."""

    plant: Plant
    clerk: Clerk
    results: ResultStore
    archive: Archive


@pytest.fixture(params=STORES)
def desk(request: pytest.FixtureRequest, plant: Plant, tmp_path: Path) -> Desk:
    """A clerk beside the plant, on each kind of results store."""
    results = STORES[request.param](tmp_path)
    return make_desk(plant, results, tmp_path)


def make_desk(plant: Plant, results: ResultStore, folder: Path) -> Desk:
    """A clerk of this plant."""
    archive = Archive(folder / "archive")
    clerk = Clerk(
        consumer="clerk-1",
        ledger=plant.ledger,
        frames=plant.frames,
        results=results,
        recipes=plant.recipes,
        archive=archive,
        progress=Progress(name="clerk-1", kind="clerk", code_version="0"),
        batch_size=4,
    )
    return Desk(plant, clerk, results, archive)


def test_results_move_into_the_database(desk: Desk) -> None:
    """Verdict, report and failure of each part end in its one row."""
    desk.plant.submit("good", GOOD)
    desk.plant.submit("dented", DENT)
    desk.plant.submit("endless", SCRATCH, Trait.ENDLESS_REPORT)
    desk.plant.submit("late", seconds_left=-1.0)
    desk.plant.work()
    desk.clerk.tick()
    page = desk.results.page(ResultFilters(), None, 10)
    assert {row.verdict.result_id for row in page.results} == {"good", "dented", "endless", "late"}
    assert desk.results.get("good").verdict == desk.plant.verdict("good")
    assert desk.results.get("dented").report == desk.plant.state("dented").report
    problem = desk.results.get("endless").problem
    assert problem is not None
    assert problem.code == "deliveries-exhausted"
    assert desk.results.get("late").verdict.decision is Decision.NOT_INSPECTED


def test_a_result_is_stored_once(desk: Desk, ledger_redis: RedisServer) -> None:
    """A clerk that died before it acknowledged left work that another repeats without a trace."""
    desk.plant.submit("dented", DENT)
    desk.plant.work()
    desk.clerk._store(desk.plant.ledger.read_results("dead-clerk", 10))
    heir = replace(desk.clerk, ledger=RedisLedger(ledger_redis.url, claim_idle_ms=1))
    heir.tick()
    assert len(desk.results.page(ResultFilters(), None, 10).results) == 1
    assert desk.archive.get(desk.plant.verdict("dented"))
    assert desk.plant.ledger.read_results("clerk-2", 10) == []


def test_the_pixels_of_an_accepted_part_are_dropped(desk: Desk) -> None:
    """By default an accepted part keeps its verdict and loses its picture."""
    desk.plant.submit("good", GOOD)
    desk.plant.work()
    desk.clerk.tick()
    with pytest.raises(FrameMissing):
        desk.plant.frames.get("good")
    with pytest.raises(FrameMissing):
        desk.archive.get(desk.plant.verdict("good"))


def test_the_pixels_of_a_rejected_part_are_archived(desk: Desk) -> None:
    """The evidence leaves the frame store only once it is on disk, byte for byte."""
    desk.plant.submit("dented", DENT)
    data = desk.plant.frames.get("dented")
    desk.plant.work()
    desk.clerk.tick()
    verdict = desk.plant.verdict("dented")
    day = verdict.creation_time.date().isoformat()
    assert desk.archive.path(verdict).parts[-3:] == (day, "surface", "dented.png")
    assert desk.archive.get(verdict) == data
    with pytest.raises(FrameMissing):
        desk.plant.frames.get("dented")


def test_in_one_batch_each_frame_goes_its_own_way(desk: Desk) -> None:
    """Archived, dropped, or gone before: what is done with one frame does not touch the others."""
    desk.plant.submit("dented", DENT)
    desk.plant.submit("good", GOOD)
    desk.plant.submit("gone", DENT)
    desk.plant.work()
    desk.plant.frames.delete("gone")
    desk.clerk._store(desk.plant.ledger.read_results("clerk-1", 10))
    assert list(desk.plant.frames.ids()) == []
    assert desk.archive.get(desk.plant.verdict("dented"))
    for name in ("good", "gone"):
        with pytest.raises(FrameMissing):
            desk.archive.get(desk.plant.verdict(name))


def test_pixels_stay_while_a_report_is_to_come(desk: Desk) -> None:
    """A part whose report is not written yet keeps its frame where the worker finds it."""
    desk.plant.submit("dented", DENT)
    desk.plant.shift(lanes=(Lane.INSPECT,)).run(Lane.INSPECT)
    desk.clerk.tick()
    assert desk.results.get("dented").report is None
    assert desk.plant.frames.get("dented")
    desk.plant.work()
    desk.clerk.tick()
    assert desk.results.get("dented").report is not None
    assert desk.archive.get(desk.plant.verdict("dented"))


def test_a_part_whose_frame_was_missing_is_stored_all_the_same(desk: Desk) -> None:
    """There is nothing to archive, and the result says why."""
    desk.plant.submit("gone", DENT)
    desk.plant.frames.delete("gone")
    desk.plant.work()
    desk.clerk.tick()
    problem = desk.results.get("gone").verdict.problem
    assert problem is not None
    assert problem.code == "frame-missing"
    assert desk.plant.ledger.read_results("clerk-2", 10) == []


def test_a_report_that_overtakes_its_verdict_waits(desk: Desk, ledger_redis: RedisServer) -> None:
    """Of two clerks the one with the report may be the faster; it leaves the report for later."""
    desk.plant.submit("dented", DENT)
    desk.plant.work()
    impatient = RedisLedger(ledger_redis.url, claim_idle_ms=1)
    (verdict_entry,) = desk.plant.ledger.read_results("other-clerk", 1)
    desk.clerk.tick()
    assert desk.results.page(ResultFilters(), None, 10).results == ()
    assert desk.clerk._store([verdict_entry])
    desk.plant.ledger.acknowledge_results([verdict_entry])
    replace(desk.clerk, ledger=impatient).tick()
    assert desk.results.get("dented").report is not None


def test_a_disk_that_cannot_be_written_loses_nothing(plant: Plant, tmp_path: Path) -> None:
    """The result stays unacknowledged and the frame stays in the store until the archive can take it."""
    desk = make_desk(plant, MemoryResults(), tmp_path)
    (tmp_path / "archive").write_text("a file where the folder should be")
    desk.plant.submit("dented", DENT)
    desk.plant.work()
    with pytest.raises(StoreUnavailable) as caught:
        desk.clerk.tick()
    assert caught.value.mend
    assert desk.plant.frames.get("dented")


def test_the_retention_sweep_drops_old_days(plant: Plant, tmp_path: Path) -> None:
    """A recipe that keeps 7 days loses the eighth day's folder and no other; foreign folders stay."""
    write_recipe(plant.recipes._directory, RECIPE + "retention: {days: 7}\n")
    plant.recipes.reload_if_changed()
    desk = make_desk(plant, MemoryResults(), tmp_path)
    desk.plant.submit("dented", DENT)
    desk.plant.work()
    verdict = desk.plant.verdict("dented")
    aged = {days: _aged(verdict.creation_time, days) for days in (0, 7, 8)}
    for moment in aged.values():
        desk.archive.put([(verdict.model_copy(update={"creation_time": moment}), b"pixels")])
    foreign = tmp_path / "archive" / "notes" / "mine"
    foreign.mkdir(parents=True)
    desk.clerk.sweep()
    kept = {path.parent.name for path in (tmp_path / "archive").glob("*/surface")}
    assert kept == {aged[0].date().isoformat(), aged[7].date().isoformat()}
    assert foreign.is_dir()


def test_a_frame_without_a_job_goes_at_the_second_sweep(plant: Plant, tmp_path: Path) -> None:
    """A frame is put before its job is added, so one sweep alone never takes it for an orphan."""
    desk = make_desk(plant, MemoryResults(), tmp_path)
    plant.frames.put("orphan", b"pixels")
    plant.submit("waiting", GOOD)
    desk.clerk.sweep()
    assert plant.frames.get("orphan")
    desk.clerk.sweep()
    assert sorted(plant.frames.ids()) == ["waiting"]
    assert plant.state("waiting").stage is Stage.WAITING


def _aged(moment: datetime, days: int) -> datetime:
    return moment.astimezone(UTC) - timedelta(days=days)
