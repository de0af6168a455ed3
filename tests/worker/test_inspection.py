"""The verdict queue, part by part: what each kind of part ends as."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from engine import Image, Opinion, Priority, Scores
from schemas.job import InspectionJob
from schemas.verdict import Decision
from services.infra.intake import images
from services.infra.local_redis import RedisServer
from services.infra.process.names import Queue
from services.infra.stores.ledger import Decided, Ledger, Stage
from tests.conftest import WaitUntil
from tests.worker.fake_engine import FakeEngine, Trait, late, painted
from tests.worker.plant import DENT, GOOD, RECIPE, SCRATCH, Plant, write_recipe
from worker.inspection import Inspection
from worker.queue_runner import QueueRunner

Parts = QueueRunner[InspectionJob, Scores | Opinion, Decided]


def parts_of(plant: Plant, consumer: str = "worker-1") -> Parts:
    """The verdict queue of one worker, without a report queue beside it."""
    context = plant.context(consumer)
    return QueueRunner(context, Inspection(context))


def conclude_all(plant: Plant, parts: Parts, wait_until: WaitUntil) -> None:
    """Waits for the engine to answer everything, and commits it."""
    wait_until(lambda: plant.engine.unfinished(Priority.VERDICT) == 0)
    parts.conclude()


def batch_sizes(plant: Plant, wait_until: WaitUntil) -> list[int]:
    """How many parts each look at the queue showed to the engine, until nothing waited."""
    parts, sizes = parts_of(plant), []
    while taken := parts.take():
        sizes.append(taken)
        conclude_all(plant, parts, wait_until)
    return sizes


def test_each_part_gets_its_decision(plant: Plant) -> None:
    """Sure scores accept and reject, unsure ones ask for review, and the defect is named."""
    plant.submit("good", GOOD)
    plant.submit("dented", DENT)
    plant.submit("unsure", SCRATCH, Trait.UNSURE)
    plant.work()
    assert plant.verdict("good").decision is Decision.ACCEPT
    assert plant.verdict("good").defect_class is None
    assert plant.verdict("dented").decision is Decision.REJECT
    assert plant.verdict("dented").defect_class == "dent"
    assert plant.verdict("unsure").decision is Decision.REVIEW
    assert plant.verdict("unsure").defect_class == "scratch"


def test_a_verdict_says_what_produced_it(plant: Plant) -> None:
    """Scores in recipe order, versions and processing times are there for the auditor."""
    job = plant.submit("good", GOOD)
    plant.work()
    verdict = plant.verdict("good")
    assert [score.name for score in verdict.scores] == ["good", "scratch", "dent"]
    assert verdict.part == job.part
    assert verdict.versions.model_digest == "d" * 64
    assert verdict.versions.recipe_digest == plant.recipes.get("surface").digest
    times = verdict.processing_times
    assert times.start_time <= times.end_time
    assert min(times.queue_ms, times.decode_ms, times.engine_ms) > 0.0


def test_the_engine_gets_what_it_has_capacity_for(plant: Plant, wait_until: WaitUntil) -> None:
    """No more than that is read, so that another worker can have the rest; what ends frees a place."""
    hold = threading.Event()
    plant.engine.before_score = lambda: hold.wait(20)
    for number in range(10):
        plant.submit(f"part-{number}")
    parts = parts_of(plant)
    assert parts.take() == 8
    assert parts.take() == 0
    assert len(plant.ledger.jobs.read(Queue.INSPECT, "other-worker", 10)) == 2
    hold.set()
    conclude_all(plant, parts, wait_until)
    assert plant.ledger.jobs.waiting(Queue.INSPECT) == 2


def test_a_verdict_is_committed_as_soon_as_it_is_there(plant: Plant, wait_until: WaitUntil) -> None:
    """A part that the engine is slow with keeps no other one waiting, and the free place is filled again."""
    hold = threading.Event()
    first = threading.Lock()

    def hold_the_first() -> None:
        if first.acquire(blocking=False):
            hold.wait(20)

    plant.engine.before_score = hold_the_first
    for number in range(9):
        plant.submit(f"part-{number}")
    parts = parts_of(plant)
    parts.take()
    wait_until(lambda: plant.engine.unfinished(Priority.VERDICT) == 1)
    parts.conclude()
    assert plant.ledger.jobs.waiting(Queue.INSPECT) == 2
    assert parts.take() == 1
    hold.set()
    conclude_all(plant, parts, wait_until)
    assert plant.ledger.jobs.waiting(Queue.INSPECT) == 0


def test_a_late_part_is_not_inspected(plant: Plant) -> None:
    """A part past its deadline costs the engine nothing and is rejected with the reason."""
    plant.submit("late", seconds_left=-0.5)
    plant.submit("in-time")
    plant.work()
    assert plant.verdict("late").decision is Decision.NOT_INSPECTED
    assert plant.reason("late").code == "deadline-passed"
    assert plant.state("late").stage is Stage.DECIDED
    assert plant.verdict("in-time").decision is Decision.ACCEPT
    assert plant.engine.scored == 1


def test_a_part_that_gets_late_inside_the_engine_is_not_inspected(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own deadline error ends the part like a deadline seen at the door."""
    monkeypatch.setattr(plant.engine, "_score", late)
    plant.submit("late")
    plant.work()
    assert plant.reason("late").code == "deadline-passed"
    assert plant.state("late").stage is Stage.DECIDED


def test_a_verdict_that_comes_too_late_is_none(plant: Plant, wait_until: WaitUntil) -> None:
    """Once the line has let the part go as rejected, an ACCEPT must not follow."""
    job = plant.submit("slow", seconds_left=0.5)
    plant.engine.before_score = lambda: wait_until(lambda: datetime.now(UTC) > job.deadline)
    plant.work()
    assert plant.verdict("slow").decision is Decision.NOT_INSPECTED
    assert plant.reason("slow").code == "deadline-passed"


def test_an_unusable_frame_is_not_inspected(plant: Plant) -> None:
    """What the gateway found dark or blurred is recorded with its reason and never judged."""
    plant.submit("dark", unusable_reason="the frame is dark: mean 3.1, at least 8 is needed")
    plant.work()
    assert plant.verdict("dark").decision is Decision.NOT_INSPECTED
    assert plant.reason("dark").code == "frame-unfit"
    assert "mean 3.1" in plant.reason("dark").detail
    assert plant.engine.scored == 0


def test_a_missing_frame_is_a_dead_letter(plant: Plant) -> None:
    """A frame that is gone is never skipped: the part is rejected and the fault is kept for a person."""
    plant.submit("gone")
    plant.frames.delete("gone")
    plant.work()
    assert plant.state("gone").stage is Stage.DEAD
    assert plant.reason("gone").code == "frame-missing"
    assert [letter.result_id for letter in plant.ledger.jobs.dead_letters(10)] == ["gone"]


def test_a_frame_that_is_not_the_jobs_is_a_dead_letter(plant: Plant) -> None:
    """A verdict on another part's picture would be an escape; the digest stops it."""
    plant.submit("swapped", GOOD)
    other = plant.submit("other", DENT)
    plant.frames.delete("swapped")
    plant.frames.put("swapped", plant.frames.get(other.result_id))
    plant.work()
    assert plant.reason("swapped").code == "frame-invalid"
    assert plant.verdict("other").decision is Decision.REJECT


def test_an_image_the_engine_refuses_harms_no_batch_mate(plant: Plant) -> None:
    """Bad input is dead-lettered at its first delivery, and the parts beside it get their verdicts."""
    for number in range(3):
        plant.submit(f"mate-{number}")
    plant.submit("thin", trait=Trait.INVALID)
    plant.work()
    assert plant.state("thin").stage is Stage.DEAD
    assert plant.reason("thin").code == "frame-invalid"
    assert plant.ledger.jobs.dead_letters(1)[0].deliveries == 1
    assert all(plant.verdict(f"mate-{number}").decision is Decision.ACCEPT for number in range(3))


@pytest.mark.parametrize("trait", [Trait.OUT_OF_MEMORY, Trait.NOT_A_NUMBER])
def test_a_poison_frame_is_dead_lettered_at_the_third_delivery(plant: Plant, trait: Trait) -> None:
    """A part that fails each time is tried three times and then rejected; its mates are unharmed."""
    plant.submit("before")
    plant.submit("poison", DENT, trait)
    plant.submit("after")
    plant.work()
    assert plant.state("poison").stage is Stage.DEAD
    assert plant.reason("poison").code == "deliveries-exhausted"
    assert plant.ledger.jobs.dead_letters(1)[0].deliveries == 3
    assert plant.verdict("before").decision is Decision.ACCEPT
    assert plant.verdict("after").decision is Decision.ACCEPT
    assert plant.ledger.jobs.waiting(Queue.INSPECT) == 0


def test_a_part_delivered_before_is_tried_alone(plant: Plant, wait_until: WaitUntil) -> None:
    """What may have ended the last worker takes no batch mate with it."""
    for number in range(4):
        plant.submit(f"part-{number}")
    lost = plant.ledger.jobs.read(Queue.INSPECT, "dead-worker", 2)
    plant.ledger.jobs.retry(lost)
    assert batch_sizes(plant, wait_until) == [1, 1, 2]
    assert all(plant.verdict(f"part-{number}").decision is Decision.ACCEPT for number in range(4))


def test_a_part_delivered_before_waits_until_all_is_quiet(plant: Plant, wait_until: WaitUntil) -> None:
    """While others are with the engine it stays in the queue, uncounted, and nothing is read beside it."""
    hold = threading.Event()
    plant.engine.before_score = lambda: hold.wait(20)
    plant.submit("innocent")
    plant.submit("suspect")
    parts = parts_of(plant)
    innocent, suspect = plant.ledger.jobs.read(Queue.INSPECT, "dead-worker", 2)
    plant.ledger.jobs.release([innocent])
    assert parts.take() == 1
    plant.ledger.jobs.retry([suspect])
    plant.submit("fresh")
    assert parts.take() == 0
    assert plant.engine.unfinished(Priority.VERDICT) == 1
    hold.set()
    conclude_all(plant, parts, wait_until)
    assert parts.take() == 1
    assert parts.take() == 0
    conclude_all(plant, parts, wait_until)
    assert plant.verdict("suspect").decision is Decision.ACCEPT
    assert plant.state("fresh").stage is Stage.WAITING


def test_running_reports_step_aside_for_a_part_delivered_before(plant: Plant, wait_until: WaitUntil) -> None:
    """A part that ends the process costs no report a delivery; the reports are written afterwards."""
    plant.engine.gate.clear()
    plant.submit("dented", DENT)
    work_loop = plant.work_loop()
    while not plant.engine.writing.is_set():
        work_loop.step()
    plant.submit("suspect")
    plant.ledger.jobs.retry(plant.ledger.jobs.read(Queue.INSPECT, "dead-worker", 1))
    work_loop.step()
    (report,) = plant.ledger.jobs.read(Queue.DIAGNOSE, "other-worker", 1)
    assert report.deliveries == 1
    plant.ledger.jobs.release([report])
    plant.engine.gate.set()
    wait_until(lambda: not work_loop.step())
    assert plant.verdict("suspect").decision is Decision.ACCEPT
    assert plant.state("dented").stage is Stage.REPORTED


def test_a_part_that_ends_every_worker_is_dead_lettered_unseen(plant: Plant) -> None:
    """After three deliveries without a commit nobody opens the frame again."""
    plant.submit("killer", trait=Trait.KILLER)
    for worker in ("first", "second", "third"):
        plant.ledger.jobs.retry(plant.ledger.jobs.read(Queue.INSPECT, worker, 1))
    plant.work()
    assert plant.state("killer").stage is Stage.DEAD
    assert plant.reason("killer").code == "deliveries-exhausted"
    assert plant.engine.scored == 0


def test_a_second_delivery_changes_nothing(
    plant: Plant, ledger_redis: RedisServer, wait_until: WaitUntil
) -> None:
    """A worker that was given up for dead and comes back finds the part decided, and leaves it so."""
    plant.submit("twice", DENT)
    go_on = threading.Event()
    plant.engine.before_score = lambda: go_on.wait(20)
    slow = parts_of(plant, "slow-worker")
    assert slow.take() == 1
    impatient = replace(plant, ledger=Ledger(ledger_redis.url, lease_ms=1), engine=FakeEngine())
    other = parts_of(impatient, "other-worker")
    assert wait_until(other.take) == 1
    conclude_all(impatient, other, wait_until)
    first = plant.verdict("twice")
    go_on.set()
    conclude_all(plant, slow, wait_until)
    assert plant.verdict("twice") == first
    assert slow._context.progress.heartbeat().finished == 0
    assert len(plant.ledger.outbox.read("result-writer", 10)) == 1
    assert plant.ledger.jobs.waiting(Queue.DIAGNOSE) == 1
    impatient.engine.close()


def test_a_part_of_a_recipe_that_is_gone_is_not_inspected(plant: Plant) -> None:
    """A verdict under other thresholds than the part was accepted under would be nobody's verdict."""
    plant.submit("old", recipe_version=7)
    plant.work()
    assert plant.reason("old").code == "unknown-recipe"
    assert plant.verdict("old").versions.recipe_digest is None


def test_a_new_version_of_a_recipe_is_taken_up(plant: Plant) -> None:
    """A part accepted seconds after a recipe changed is judged under the new version."""
    write_recipe(plant.recipes._directory, RECIPE.replace("version: 1", "version: 2").replace("0.35", "0.30"))
    plant.submit("new", recipe_version=2)
    plant.work()
    assert plant.verdict("new").decision is Decision.ACCEPT
    assert plant.recipes.get("surface").version == 2


def test_a_broken_recipe_file_stops_nobody(plant: Plant) -> None:
    """The worker keeps the last good recipes, counts the failure, and goes on judging."""
    work_loop = plant.work_loop()
    write_recipe(plant.recipes._directory, RECIPE.replace("reject_from", "reject_form"))
    plant.submit("part")
    work_loop.run(Queue.INSPECT)
    assert plant.verdict("part").decision is Decision.ACCEPT
    assert work_loop._context.progress.heartbeat().failures == 1


def test_golden_images_stand_between_the_words_and_the_frame(plant: Plant) -> None:
    """What all parts of a recipe share comes first, the same objects every time; the frame comes last."""
    golden = painted(GOOD, side=96)
    folder = plant.recipes._directory
    (folder / "good.png").write_bytes(images.encode_png(golden))
    write_recipe(folder, RECIPE.replace("version: 1", "version: 2") + "golden: [good.png]\n")
    for number in range(2):
        plant.submit(f"part-{number}", DENT, recipe_version=2)
    plant.work()
    prompts = plant.engine.prompts
    assert len(prompts) == 4
    for words, shown, frame in (prompt.parts for prompt in prompts):
        assert isinstance(words, str)
        assert isinstance(shown, Image)
        assert isinstance(frame, Image)
        assert np.array_equal(shown.pixels, golden)
        assert frame.pixels.shape == (64, 64, 3)
    assert len({id(prompt.parts[1]) for prompt in prompts}) == 1


def test_a_golden_image_is_cut_like_the_frame(plant: Plant) -> None:
    """The regions of the recipe say what the model sees, of a good part as of the one in question."""
    folder = plant.recipes._directory
    (folder / "good.png").write_bytes(images.encode_png(painted(GOOD, side=96)))
    regions = "golden: [good.png]\nregions: {inspect: {x: 0.0, y: 0.0, width: 0.5, height: 1.0}}\n"
    write_recipe(folder, RECIPE + regions)
    plant.submit("part")
    plant.work()
    ((_, shown, frame),) = (prompt.parts for prompt in plant.engine.prompts)
    assert isinstance(shown, Image)
    assert isinstance(frame, Image)
    assert (shown.pixels.shape, frame.pixels.shape) == ((96, 48, 3), (64, 32, 3))


def test_a_golden_image_that_is_gone_ends_the_part_with_its_reason(plant: Plant) -> None:
    """A verdict without the pictures that the recipe asks for would be another recipe's verdict."""
    folder = plant.recipes._directory
    (folder / "good.png").write_bytes(images.encode_png(painted(GOOD)))
    write_recipe(folder, RECIPE + "golden: [good.png]\n")
    plant.recipes.reload_if_changed()
    (folder / "good.png").unlink()
    plant.submit("part")
    plant.work()
    assert plant.reason("part").code == "recipe-invalid"
    assert "golden image" in plant.reason("part").detail
