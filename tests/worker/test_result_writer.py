"""The result writer: every result is stored once, and pixels go where the recipe says, for as long."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.recipe import Retention
from schemas.verdict import Decision
from services.infra.local_redis import RedisServer
from services.infra.process.errors import FrameMissing, StoreUnavailable
from services.infra.process.heartbeat import Progress
from services.infra.process.names import Queue
from services.infra.stores.archive import Archive
from services.infra.stores.ledger import Ledger, Stage
from services.infra.stores.results import ResultFilters, ResultStore
from tests.worker.fake_engine import Trait
from tests.worker.plant import DENT, GOOD, RECIPE, SCRATCH, Plant, write_recipe
from worker.result_writer import FRAMES_SHOWN, ResultWriter


@dataclass
class Filing:
    """A result writer and what it works on."""

    plant: Plant
    result_writer: ResultWriter
    results: ResultStore
    archive: Archive


@pytest.fixture
def filing(plant: Plant, tmp_path: Path) -> Filing:
    """A result writer beside the plant."""
    return make_filing(plant, tmp_path)


def make_filing(plant: Plant, folder: Path) -> Filing:
    """A result writer of this plant, on a database of its own."""
    results = ResultStore(f"sqlite:///{folder}/lynceus.db")
    archive = Archive(folder / "archive")
    result_writer = ResultWriter(
        consumer="result-writer-1",
        ledger=plant.ledger,
        frames=plant.frames,
        results=results,
        recipes=plant.recipes,
        archive=archive,
        progress=Progress(name="result-writer-1", kind="result-writer"),
        batch_size=4,
    )
    return Filing(plant, result_writer, results, archive)


def test_results_move_into_the_database(filing: Filing) -> None:
    """Verdict, report and failure of each part end in its one row."""
    filing.plant.submit("good", GOOD)
    filing.plant.submit("dented", DENT)
    filing.plant.submit("endless", SCRATCH, Trait.ENDLESS_REPORT)
    filing.plant.submit("late", seconds_left=-1.0)
    filing.plant.work()
    filing.result_writer.tick()
    page = filing.results.page(ResultFilters(), None, 10)
    assert {row.verdict.result_id for row in page.results} == {"good", "dented", "endless", "late"}
    assert filing.results.get("good").verdict == filing.plant.verdict("good")
    assert filing.results.get("dented").report == filing.plant.state("dented").report
    problem = filing.results.get("endless").problem
    assert problem is not None
    assert problem.code == "deliveries-exhausted"
    assert filing.results.get("late").verdict.decision is Decision.NOT_INSPECTED


def test_a_result_is_stored_once(filing: Filing, ledger_redis: RedisServer) -> None:
    """A result writer that died before it acknowledged left work that another repeats without a trace."""
    filing.plant.submit("dented", DENT)
    filing.plant.work()
    filing.result_writer._store(filing.plant.ledger.outbox.read("dead-writer", 10))
    successor = replace(filing.result_writer, ledger=Ledger(ledger_redis.url, lease_ms=1))
    successor.tick()
    assert len(filing.results.page(ResultFilters(), None, 10).results) == 1
    assert filing.archive.get(filing.plant.verdict("dented"))
    assert filing.plant.ledger.outbox.read("result-writer-2", 10) == []


def test_the_pixels_of_accepted_parts_are_dropped_but_the_last(filing: Filing) -> None:
    """By default accepted parts keep their verdicts; those who watch the line see the last pictures."""
    names = [f"good-{number}" for number in range(FRAMES_SHOWN + 2)]
    for name in names:
        filing.plant.submit(name, GOOD)
        filing.plant.work()
        filing.result_writer.tick()
    assert sorted(filing.plant.frames.ids()) == names[2:]
    for name in names:
        with pytest.raises(FrameMissing):
            filing.archive.get(filing.plant.verdict(name))


def test_a_sample_of_the_accepted_parts_is_archived_for_a_person(filing: Filing) -> None:
    """Only so does anybody see what passed wrongly; the draw is the same when it is made again."""
    assert Retention(audit_share=1.0).audits("good")
    assert not Retention(audit_share=0.0).audits("good")
    drawn = sum(Retention(audit_share=0.1).audits(f"part-{number}") for number in range(2000))
    assert 150 < drawn < 250
    sampled = next(name for name in map("good-{}".format, range(1000)) if Retention().audits(name))
    filing.plant.submit(sampled, GOOD)
    filing.plant.work()
    filing.result_writer.tick()
    assert filing.archive.get(filing.plant.verdict(sampled))
    assert filing.results.reviews.waiting() == 1


def test_the_pixels_of_a_rejected_part_are_archived(filing: Filing) -> None:
    """The evidence leaves the frame store only once it is on disk, byte for byte."""
    filing.plant.submit("dented", DENT)
    data = filing.plant.frames.get("dented")
    filing.plant.work()
    filing.result_writer.tick()
    verdict = filing.plant.verdict("dented")
    day = verdict.creation_time.date().isoformat()
    assert filing.archive.path(verdict).parts[-3:] == (day, "surface", "dented.png")
    assert filing.archive.get(verdict) == data
    with pytest.raises(FrameMissing):
        filing.plant.frames.get("dented")


def test_in_one_batch_each_frame_goes_its_own_way(filing: Filing) -> None:
    """Archived, dropped, or gone before: what is done with one frame does not touch the others."""
    filing.plant.submit("dented", DENT)
    filing.plant.submit("good", GOOD)
    filing.plant.submit("gone", DENT)
    filing.plant.work()
    filing.plant.frames.delete("gone")
    filing.result_writer._store(filing.plant.ledger.outbox.read("result-writer-1", 10))
    assert list(filing.plant.frames.ids()) == ["good"]
    assert filing.archive.get(filing.plant.verdict("dented"))
    for name in ("good", "gone"):
        with pytest.raises(FrameMissing):
            filing.archive.get(filing.plant.verdict(name))


def test_pixels_stay_while_a_report_is_to_come(filing: Filing) -> None:
    """A part whose report is not written yet keeps its frame where the worker finds it."""
    filing.plant.submit("dented", DENT)
    filing.plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    filing.result_writer.tick()
    assert filing.results.get("dented").report is None
    assert filing.plant.frames.get("dented")
    filing.plant.work()
    filing.result_writer.tick()
    assert filing.results.get("dented").report is not None
    assert filing.archive.get(filing.plant.verdict("dented"))


def test_a_part_whose_frame_was_missing_is_stored_all_the_same(filing: Filing) -> None:
    """There is nothing to archive, and the result says why."""
    filing.plant.submit("gone", DENT)
    filing.plant.frames.delete("gone")
    filing.plant.work()
    filing.result_writer.tick()
    problem = filing.results.get("gone").verdict.problem
    assert problem is not None
    assert problem.code == "frame-missing"
    assert filing.plant.ledger.outbox.read("result-writer-2", 10) == []


def test_a_report_that_overtakes_its_verdict_waits(filing: Filing, ledger_redis: RedisServer) -> None:
    """Of two result writers the one with the report may be the faster; it leaves the report for later."""
    filing.plant.submit("dented", DENT)
    filing.plant.work()
    impatient = Ledger(ledger_redis.url, lease_ms=1)
    (verdict_entry,) = filing.plant.ledger.outbox.read("other-writer", 1)
    filing.result_writer.tick()
    assert filing.results.page(ResultFilters(), None, 10).results == ()
    assert filing.result_writer._store([verdict_entry])
    filing.plant.ledger.outbox.acknowledge([verdict_entry])
    replace(filing.result_writer, ledger=impatient).tick()
    assert filing.results.get("dented").report is not None


def test_a_disk_that_cannot_be_written_loses_nothing(plant: Plant, tmp_path: Path) -> None:
    """The result stays unacknowledged and the frame stays in the store until the archive can take it."""
    filing = make_filing(plant, tmp_path)
    (tmp_path / "archive").write_text("a file where the folder should be")
    filing.plant.submit("dented", DENT)
    filing.plant.work()
    with pytest.raises(StoreUnavailable) as caught:
        filing.result_writer.tick()
    assert caught.value.hint
    assert filing.plant.frames.get("dented")


def test_the_retention_sweep_drops_old_days(plant: Plant, tmp_path: Path) -> None:
    """A recipe that keeps 7 days loses the eighth day's folder and no other; foreign folders stay."""
    write_recipe(plant.recipes._directory, RECIPE + "retention: {days: 7}\n")
    plant.recipes.reload_if_changed()
    filing = make_filing(plant, tmp_path)
    filing.plant.submit("dented", DENT)
    filing.plant.work()
    verdict = filing.plant.verdict("dented")
    aged = {days: _aged(verdict.creation_time, days) for days in (0, 7, 8)}
    for moment in aged.values():
        filing.archive.put([(verdict.model_copy(update={"creation_time": moment}), b"pixels")])
    foreign = tmp_path / "archive" / "notes" / "mine"
    foreign.mkdir(parents=True)
    filing.result_writer.sweep()
    kept = {path.parent.name for path in (tmp_path / "archive").glob("*/surface")}
    assert kept == {aged[0].date().isoformat(), aged[7].date().isoformat()}
    assert foreign.is_dir()


def test_a_frame_without_a_job_goes_at_the_second_sweep(plant: Plant, tmp_path: Path) -> None:
    """A frame is put before its job is added, so one sweep alone never takes it for an orphan."""
    filing = make_filing(plant, tmp_path)
    plant.frames.put("orphan", b"pixels")
    plant.submit("waiting", GOOD)
    filing.result_writer.sweep()
    assert plant.frames.get("orphan")
    filing.result_writer.sweep()
    assert sorted(plant.frames.ids()) == ["waiting"]
    assert plant.state("waiting").stage is Stage.WAITING


def _aged(moment: datetime, days: int) -> datetime:
    return moment.astimezone(UTC) - timedelta(days=days)
