"""The result writer: every result is stored once, and pixels go where the recipe says, for as long as it says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.verdict import Decision
from services.infra.local_redis.server import RedisServer
from services.infra.process.errors import FrameMissing, StoreUnavailable
from services.infra.process.names import Queue
from services.infra.stores.archive import Archive
from services.infra.stores.ledger import RedisLedger, Stage
from services.infra.stores.results import MemoryResults, ResultFilters, ResultStore, SqlResults
from tests.worker.fake_engine import Trait
from tests.worker.plant import DENT, GOOD, RECIPE, SCRATCH, Plant, write_recipe
from worker.progress import Progress
from worker.result_writer import ResultWriter

STORES: dict[str, Callable[[Path], ResultStore]] = {
    "memory": lambda _: MemoryResults(),
    "sqlite": lambda folder: SqlResults(f"sqlite:///{folder}/lynceus.db"),
}


@dataclass
class Desk:
    """A result writer and what it works on."""

    plant: Plant
    result_writer: ResultWriter
    results: ResultStore
    archive: Archive


@pytest.fixture(params=STORES)
def result_process(request: pytest.FixtureRequest, plant: Plant, tmp_path: Path) -> Desk:
    """A result writer beside the plant, on each kind of results store."""
    results = STORES[request.param](tmp_path)
    return make_desk(plant, results, tmp_path)


def make_desk(plant: Plant, results: ResultStore, folder: Path) -> Desk:
    """A result writer of this plant."""
    archive = Archive(folder / "archive")
    result_writer = ResultWriter(
        consumer="result-writer-1",
        ledger=plant.ledger,
        frames=plant.frames,
        results=results,
        recipes=plant.recipes,
        archive=archive,
        progress=Progress(name="result-writer-1", kind="result-writer", code_version="0"),
        batch_size=4,
    )
    return Desk(plant, result_writer, results, archive)


def test_results_move_into_the_database(result_process: Desk) -> None:
    """Verdict, report and failure of each part end in its one row."""
    result_process.plant.submit("good", GOOD)
    result_process.plant.submit("dented", DENT)
    result_process.plant.submit("endless", SCRATCH, Trait.ENDLESS_REPORT)
    result_process.plant.submit("late", seconds_left=-1.0)
    result_process.plant.work()
    result_process.result_writer.tick()
    page = result_process.results.page(ResultFilters(), None, 10)
    assert {row.verdict.result_id for row in page.results} == {"good", "dented", "endless", "late"}
    assert result_process.results.get("good").verdict == result_process.plant.verdict("good")
    assert result_process.results.get("dented").report == result_process.plant.state("dented").report
    problem = result_process.results.get("endless").problem
    assert problem is not None
    assert problem.code == "deliveries-exhausted"
    assert result_process.results.get("late").verdict.decision is Decision.NOT_INSPECTED


def test_a_result_is_stored_once(result_process: Desk, ledger_redis: RedisServer) -> None:
    """A result writer that died before it acknowledged left work that another repeats without a trace."""
    result_process.plant.submit("dented", DENT)
    result_process.plant.work()
    result_process.result_writer._store(result_process.plant.ledger.read_results("dead-result writer", 10))
    heir = replace(result_process.result_writer, ledger=RedisLedger(ledger_redis.url, lease_ms=1))
    heir.tick()
    assert len(result_process.results.page(ResultFilters(), None, 10).results) == 1
    assert result_process.archive.get(result_process.plant.verdict("dented"))
    assert result_process.plant.ledger.read_results("result-writer-2", 10) == []


def test_the_pixels_of_an_accepted_part_are_dropped(result_process: Desk) -> None:
    """By default an accepted part keeps its verdict and loses its picture."""
    result_process.plant.submit("good", GOOD)
    result_process.plant.work()
    result_process.result_writer.tick()
    with pytest.raises(FrameMissing):
        result_process.plant.frames.get("good")
    with pytest.raises(FrameMissing):
        result_process.archive.get(result_process.plant.verdict("good"))


def test_the_pixels_of_a_rejected_part_are_archived(result_process: Desk) -> None:
    """The evidence leaves the frame store only once it is on disk, byte for byte."""
    result_process.plant.submit("dented", DENT)
    data = result_process.plant.frames.get("dented")
    result_process.plant.work()
    result_process.result_writer.tick()
    verdict = result_process.plant.verdict("dented")
    day = verdict.creation_time.date().isoformat()
    assert result_process.archive.path(verdict).parts[-3:] == (day, "surface", "dented.png")
    assert result_process.archive.get(verdict) == data
    with pytest.raises(FrameMissing):
        result_process.plant.frames.get("dented")


def test_in_one_batch_each_frame_goes_its_own_way(result_process: Desk) -> None:
    """Archived, dropped, or gone before: what is done with one frame does not touch the others."""
    result_process.plant.submit("dented", DENT)
    result_process.plant.submit("good", GOOD)
    result_process.plant.submit("gone", DENT)
    result_process.plant.work()
    result_process.plant.frames.delete("gone")
    result_process.result_writer._store(result_process.plant.ledger.read_results("result-writer-1", 10))
    assert list(result_process.plant.frames.ids()) == []
    assert result_process.archive.get(result_process.plant.verdict("dented"))
    for name in ("good", "gone"):
        with pytest.raises(FrameMissing):
            result_process.archive.get(result_process.plant.verdict(name))


def test_pixels_stay_while_a_report_is_to_come(result_process: Desk) -> None:
    """A part whose report is not written yet keeps its frame where the worker finds it."""
    result_process.plant.submit("dented", DENT)
    result_process.plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    result_process.result_writer.tick()
    assert result_process.results.get("dented").report is None
    assert result_process.plant.frames.get("dented")
    result_process.plant.work()
    result_process.result_writer.tick()
    assert result_process.results.get("dented").report is not None
    assert result_process.archive.get(result_process.plant.verdict("dented"))


def test_a_part_whose_frame_was_missing_is_stored_all_the_same(result_process: Desk) -> None:
    """There is nothing to archive, and the result says why."""
    result_process.plant.submit("gone", DENT)
    result_process.plant.frames.delete("gone")
    result_process.plant.work()
    result_process.result_writer.tick()
    problem = result_process.results.get("gone").verdict.problem
    assert problem is not None
    assert problem.code == "frame-missing"
    assert result_process.plant.ledger.read_results("result-writer-2", 10) == []


def test_a_report_that_overtakes_its_verdict_waits(result_process: Desk, ledger_redis: RedisServer) -> None:
    """Of two result writers the one with the report may be the faster; it leaves the report for later."""
    result_process.plant.submit("dented", DENT)
    result_process.plant.work()
    impatient = RedisLedger(ledger_redis.url, lease_ms=1)
    (verdict_entry,) = result_process.plant.ledger.read_results("other-result writer", 1)
    result_process.result_writer.tick()
    assert result_process.results.page(ResultFilters(), None, 10).results == ()
    assert result_process.result_writer._store([verdict_entry])
    result_process.plant.ledger.acknowledge_results([verdict_entry])
    replace(result_process.result_writer, ledger=impatient).tick()
    assert result_process.results.get("dented").report is not None


def test_a_disk_that_cannot_be_written_loses_nothing(plant: Plant, tmp_path: Path) -> None:
    """The result stays unacknowledged and the frame stays in the store until the archive can take it."""
    result_process = make_desk(plant, MemoryResults(), tmp_path)
    (tmp_path / "archive").write_text("a file where the folder should be")
    result_process.plant.submit("dented", DENT)
    result_process.plant.work()
    with pytest.raises(StoreUnavailable) as caught:
        result_process.result_writer.tick()
    assert caught.value.hint
    assert result_process.plant.frames.get("dented")


def test_the_retention_sweep_drops_old_days(plant: Plant, tmp_path: Path) -> None:
    """A recipe that keeps 7 days loses the eighth day's folder and no other; foreign folders stay."""
    write_recipe(plant.recipes._directory, RECIPE + "retention: {days: 7}\n")
    plant.recipes.reload_if_changed()
    result_process = make_desk(plant, MemoryResults(), tmp_path)
    result_process.plant.submit("dented", DENT)
    result_process.plant.work()
    verdict = result_process.plant.verdict("dented")
    aged = {days: _aged(verdict.creation_time, days) for days in (0, 7, 8)}
    for moment in aged.values():
        result_process.archive.put([(verdict.model_copy(update={"creation_time": moment}), b"pixels")])
    foreign = tmp_path / "archive" / "notes" / "mine"
    foreign.mkdir(parents=True)
    result_process.result_writer.sweep()
    kept = {path.parent.name for path in (tmp_path / "archive").glob("*/surface")}
    assert kept == {aged[0].date().isoformat(), aged[7].date().isoformat()}
    assert foreign.is_dir()


def test_a_frame_without_a_job_goes_at_the_second_sweep(plant: Plant, tmp_path: Path) -> None:
    """A frame is put before its job is added, so one sweep alone never takes it for an orphan."""
    result_process = make_desk(plant, MemoryResults(), tmp_path)
    plant.frames.put("orphan", b"pixels")
    plant.submit("waiting", GOOD)
    result_process.result_writer.sweep()
    assert plant.frames.get("orphan")
    result_process.result_writer.sweep()
    assert sorted(plant.frames.ids()) == ["waiting"]
    assert plant.state("waiting").stage is Stage.WAITING


def _aged(moment: datetime, days: int) -> datetime:
    return moment.astimezone(UTC) - timedelta(days=days)
