"""The report queue: what becomes of an escalated part, and that verdicts never wait for it."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine import Completion, Priority
from schemas.job import DiagnosisJob
from schemas.report import Diagnosis, DiagnosisReport, ReportState
from schemas.verdict import Decision
from services.infra.local_redis import RedisServer
from services.infra.process.errors import EngineFailed
from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry, Ledger, Stage
from tests.conftest import WaitUntil
from tests.worker.fake_engine import DIAGNOSIS, TIMINGS, FakeEngine, Trait
from tests.worker.plant import DENT, GOOD, RECIPE, SCRATCH, Plant, write_recipe
from worker.diagnosis import SCHEMA, Reporting, parse, sampling
from worker.queue_runner import QueueRunner


def completion(content: str, finish_reason: str = "stop") -> Completion:
    """What a model wrote, as the engine returns it."""
    return Completion("", content, 1, 1, "length" if finish_reason == "length" else "stop", TIMINGS)


Reports = QueueRunner[DiagnosisJob, Completion, DiagnosisReport]


def reports_of(plant: Plant, consumer: str = "worker-1") -> Reports:
    """The report queue of one worker."""
    context = plant.context(consumer)
    return QueueRunner(context, Reporting(context))


def conclude_all(plant: Plant, reports: Reports, wait_until: WaitUntil) -> None:
    """Waits until the engine has written everything, and commits it."""
    wait_until(lambda: plant.engine.unfinished(Priority.REPORT) == 0)
    reports.conclude()


def test_an_escalated_part_gets_a_draft_report(plant: Plant) -> None:
    """A rejected part is written up under its own verdict and waits for a signature."""
    plant.submit("dented", DENT)
    plant.work()
    state = plant.state("dented")
    assert state.stage is Stage.REPORTED
    assert state.report is not None
    assert state.report.state is ReportState.DRAFT
    assert state.report.decision is Decision.REJECT
    assert state.report.defect_class == "dent"
    assert state.report.diagnosis.defect == "class 2"
    assert state.report.reasoning == "I see something."
    assert state.report.versions == plant.verdict("dented").versions


def test_only_what_the_recipe_escalates_is_written_up(plant: Plant) -> None:
    """An accepted part and one that was not inspected end with their verdict."""
    plant.submit("good", GOOD)
    plant.submit("dark", unusable_reason="the frame is dark")
    plant.work()
    assert plant.state("good").stage is Stage.DECIDED
    assert plant.state("dark").stage is Stage.DECIDED
    assert plant.ledger.jobs.waiting(Queue.DIAGNOSE) == 0


def test_verdicts_go_first_while_a_report_is_written(plant: Plant, wait_until: WaitUntil) -> None:
    """A part that arrives in the middle of a report has its verdict before the report is done."""
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = threading.Thread(target=plant.work)
    work_loop.start()
    wait_until(plant.engine.writing.is_set)
    plant.submit("urgent", GOOD)
    wait_until(lambda: plant.state("urgent").stage is Stage.DECIDED)
    assert plant.state("dented").stage is Stage.DIAGNOSING
    plant.engine.gate.set()
    work_loop.join(20)
    assert plant.state("dented").stage is Stage.REPORTED


def test_a_report_that_is_cut_off_is_tried_again_and_then_dead_lettered(plant: Plant) -> None:
    """Text that ends before the report does is a failure three times over; the verdict stands."""
    plant.submit("endless", SCRATCH, Trait.ENDLESS_REPORT)
    plant.work()
    state = plant.state("endless")
    assert state.stage is Stage.DEAD
    assert state.problem is not None
    assert state.problem.code == "deliveries-exhausted"
    assert "finish reason 'length'" in state.problem.detail
    assert state.verdict is not None
    assert state.verdict.decision is Decision.REJECT
    assert plant.ledger.jobs.dead_letters(1)[0].deliveries == 3


def test_a_report_without_its_frame_is_a_dead_letter(plant: Plant) -> None:
    """A report cannot be written about pixels that are gone, and somebody gets to know it."""
    plant.submit("dented", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    plant.frames.delete("dented")
    plant.work()
    problem = plant.state("dented").problem
    assert problem is not None
    assert problem.code == "frame-missing"


def test_a_report_is_written_with_the_present_recipe(plant: Plant) -> None:
    """An edited recipe costs no report that still waits: the verdict it explains is made already."""
    plant.submit("dented", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    write_recipe(plant.recipes._directory, RECIPE.replace("version: 1", "version: 2"))
    plant.work()
    report = plant.state("dented").report
    assert report is not None
    assert report.versions.recipe_digest == plant.recipes.get("surface").digest
    assert report.versions.recipe_digest != plant.verdict("dented").versions.recipe_digest


def test_a_worker_asked_to_stop_requeues_its_report(plant: Plant, wait_until: WaitUntil) -> None:
    """A report in the making goes back uncounted, and the next worker writes it."""
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = threading.Thread(target=plant.work)
    work_loop.start()
    wait_until(plant.engine.writing.is_set)
    plant.stop.set()
    work_loop.join(20)
    assert plant.state("dented").stage is Stage.DIAGNOSING
    (entry,) = plant.ledger.jobs.read(Queue.DIAGNOSE, "next-worker", 1)
    assert entry.deliveries == 1
    plant.ledger.jobs.release([entry])
    plant.stop.clear()
    plant.engine.gate.set()
    plant.work()
    assert plant.state("dented").stage is Stage.REPORTED


def test_a_long_report_keeps_its_lease(
    plant: Plant, ledger_redis: RedisServer, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is alive is not robbed of a report that takes longer than the lease."""
    ledger = Ledger(ledger_redis.url, lease_ms=3000)
    plant = replace(plant, ledger=ledger, lease_ms=3000)
    renewed: list[int] = []
    renew = ledger.jobs.renew

    def counting(entries: Sequence[Entry], consumer: str) -> list[Entry]:
        renewed.append(len(entries))
        return renew(entries, consumer)

    monkeypatch.setattr(ledger.jobs, "renew", counting)
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = threading.Thread(target=plant.work)
    work_loop.start()
    wait_until(plant.engine.writing.is_set)
    wait_until(lambda: len(renewed) >= 4)  # a renewal each third of the lease
    assert ledger.jobs.read(Queue.DIAGNOSE, "thief", 1) == []
    plant.engine.gate.set()
    work_loop.join(20)
    assert plant.state("dented").stage is Stage.REPORTED


def test_a_report_is_written_once(plant: Plant, ledger_redis: RedisServer, wait_until: WaitUntil) -> None:
    """Two workers that write the same report commit one."""
    plant.submit("dented", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    plant.engine.gate.clear()
    slow = reports_of(plant, "slow")
    assert slow.take() == 1
    impatient = replace(plant, ledger=Ledger(ledger_redis.url, lease_ms=1), engine=FakeEngine())
    other = reports_of(impatient, "other")
    assert wait_until(other.take) == 1
    conclude_all(impatient, other, wait_until)
    first = plant.state("dented").report
    plant.engine.gate.set()
    conclude_all(plant, slow, wait_until)
    assert first is not None
    assert plant.state("dented").report == first
    results = plant.ledger.outbox.read("result-writer", 10)
    assert [result.stage for result in results] == [Stage.DIAGNOSING, Stage.REPORTED]
    impatient.engine.close()


def test_as_many_reports_run_at_once_as_are_set(plant: Plant, wait_until: WaitUntil) -> None:
    """The setting bounds them, the engine's capacity as well; one that is written frees a place."""
    plant = replace(plant, reports_at_once=2)
    for number in range(4):
        plant.submit(f"part-{number}", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    plant.engine.gate.clear()
    reports = reports_of(plant)
    assert reports.take() == 2
    assert reports.take() == 0
    assert len(plant.ledger.jobs.read(Queue.DIAGNOSE, "other-worker", 10)) == 2
    plant.engine.gate.set()
    conclude_all(plant, reports, wait_until)
    assert plant.ledger.jobs.waiting(Queue.DIAGNOSE) == 2


def test_a_report_delivered_before_is_written_without_another_beside_it(
    plant: Plant, wait_until: WaitUntil
) -> None:
    """What may have ended the last worker takes no other report with it."""
    for number in range(3):
        plant.submit(f"part-{number}", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    plant.ledger.jobs.retry(plant.ledger.jobs.read(Queue.DIAGNOSE, "dead-worker", 2))
    reports, sizes = reports_of(plant), []
    while taken := reports.take():
        sizes.append(taken)
        conclude_all(plant, reports, wait_until)
    assert sizes == [1, 1, 1]
    assert all(plant.state(f"part-{number}").stage is Stage.REPORTED for number in range(3))


def two_ends(plant: Plant, result_id: str) -> None:
    """Escalates a part whose report two workers have ended over."""
    plant.submit(result_id, DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    for _ in range(2):
        plant.ledger.jobs.retry(plant.ledger.jobs.read(Queue.DIAGNOSE, "dead-worker", 1))


def test_a_report_at_its_last_delivery_runs_without_a_verdict_beside_it(
    plant: Plant, wait_until: WaitUntil
) -> None:
    """Only so is it known to be what ends the workers, before it is given up; other reports pass it."""
    two_ends(plant, "suspect")
    plant.submit("innocent", DENT)
    plant.work_loop(queues=(Queue.INSPECT,)).run(Queue.INSPECT)
    reports = reports_of(plant)
    assert reports.take(is_quiet=False) == 1
    conclude_all(plant, reports, wait_until)
    assert plant.state("innocent").stage is Stage.REPORTED
    assert reports.take(is_quiet=True) == 1
    conclude_all(plant, reports, wait_until)
    assert plant.state("suspect").stage is Stage.REPORTED


def test_a_report_at_its_last_delivery_makes_way_for_a_part(plant: Plant, wait_until: WaitUntil) -> None:
    """Verdicts go first; the report goes back uncounted and has the engine for itself afterwards."""
    two_ends(plant, "suspect")
    plant.engine.gate.clear()
    plant.engine.writing.clear()
    work_loop = plant.work_loop()
    work_loop.step()
    wait_until(plant.engine.writing.is_set)
    hold = threading.Event()
    plant.engine.before_score = lambda: hold.wait(20)
    plant.submit("urgent", GOOD)
    work_loop.step()
    (report,) = plant.ledger.jobs.read(Queue.DIAGNOSE, "other-worker", 1)
    assert report.deliveries == 3
    plant.ledger.jobs.release([report])
    hold.set()
    plant.engine.gate.set()
    wait_until(lambda: not work_loop.step())
    assert plant.state("suspect").stage is Stage.REPORTED
    assert plant.state("urgent").stage is Stage.DECIDED


def test_the_schema_keeps_the_order_of_the_report() -> None:
    """The model writes what it sees before what follows from it."""
    assert list(SCHEMA["properties"]) == list(Diagnosis.model_fields)
    assert list(SCHEMA["properties"]) == list(DIAGNOSIS)


@pytest.mark.parametrize("content", ["", "{", '{"defect": "scratch"}', '"scratch"'])
def test_text_that_is_no_report_is_a_typed_failure(content: str) -> None:
    """Whatever stands where the report should be, the error says so and how to fix it."""
    with pytest.raises(EngineFailed) as caught:
        parse(completion(content, "length"))
    assert caught.value.hint


def test_a_retry_does_not_repeat_the_same_words() -> None:
    """The first delivery is greedy; each later one samples with a seed of its own."""
    first, second, third = (sampling(deliveries, 4096) for deliveries in (1, 2, 3))
    assert first.temperature is None
    assert second.temperature
    assert second.seed != third.seed


@pytest.mark.parametrize("context", [256, 2048, 131_072])
def test_a_report_leaves_room_for_its_prompt(context: int) -> None:
    """However small the model's context, half of it is left to the words and the image."""
    assert sampling(1, context).max_tokens <= context // 2
