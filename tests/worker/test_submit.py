"""Other programs submit through the queue; what they send is as untrusted as an upload."""

import base64
from typing import Any

import pytest

from services.infra.intake import images
from services.infra.intake.submission import Submission
from services.infra.process.errors import BadRequest, FrameTooLarge, StoreUnavailable
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Stage
from tests.conftest import FreshRedis
from tests.worker.fake_engine import painted
from tests.worker.plant import GOOD, Plant
from worker import submit as submit_module
from worker.submit import accept, receive, task_message


def message(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """What a program sends, with some fields of the request changed."""
    request = {"result_id": "r-1", "recipe_id": "surface", "part_id": "p-1", "camera_id": "robot"} | changes
    return {"request": request, "image": base64.b64encode(images.encode_png(painted(GOOD))).decode()}


@pytest.fixture
def submission(plant: Plant) -> Submission:
    """The one door that other programs share with REST."""
    return Submission(plant.ledger, plant.frames, plant.wake_up, plant.recipes)


def test_a_submitted_part_is_inspected(plant: Plant, submission: Submission) -> None:
    """A message becomes a job like any upload, once, however often it comes."""
    receive(message(), submission)
    receive(message(), submission)
    plant.work()
    assert plant.state("r-1").stage is Stage.DECIDED
    assert plant.state("r-1").job.part.part_id == "p-1"
    assert plant.ledger.jobs.dead_letters(10) == []


def test_a_message_names_the_job_that_its_part_belongs_to(plant: Plant, submission: Submission) -> None:
    """The order or run goes with the part to its verdict."""
    receive(message(job_id="ORDER-5"), submission)
    plant.work()
    verdict = plant.state("r-1").verdict
    assert verdict is not None
    assert verdict.job_id == "ORDER-5"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({}, "bad-request"),
        ({"request": {}, "image": "aGVsbG8="}, "bad-request"),
        (message() | {"path": "/etc/passwd"}, "bad-request"),
        (message() | {"image": "not base64!"}, "bad-request"),
        (message() | {"image": "aGVsbG8="}, "unsupported-image"),
        (message(recipe_id="nobody"), "unknown-recipe"),
        (message(station_id="elsewhere"), "unknown-station"),
        (message(result_id="../../etc"), "bad-request"),
    ],
)
def test_a_wrong_message_is_a_dead_letter(
    plant: Plant, submission: Submission, wrong: dict[str, Any], code: str
) -> None:
    """A queue has no caller to tell, so the refusal is kept where a person finds it, with its hint."""
    receive(wrong, submission)
    (letter,) = plant.ledger.jobs.dead_letters(10)
    assert letter.problem.code == code
    assert letter.problem.hint
    assert plant.ledger.telemetry.counters()["submit_refused"] == 1
    assert list(plant.frames.ids()) == []


def test_every_wrong_field_is_named_at_once(submission: Submission) -> None:
    """The sender fixes a message in one go."""
    with pytest.raises(BadRequest) as caught:
        accept({"request": {"result_id": "r-1", "deadline_ms": -5}, "image": "aGVsbG8="}, submission)
    fields = {error.field for error in caught.value.errors}
    assert {"request.recipe_id", "request.part_id", "request.camera_id", "request.deadline_ms"} <= fields


def test_another_picture_under_the_same_id_is_refused(plant: Plant, submission: Submission) -> None:
    """The first message stands; the second is a dead letter that names the conflict."""
    receive(message(), submission)
    receive(message(part_id="p-2"), submission)
    assert plant.ledger.jobs.dead_letters(1)[0].problem.code == "duplicate-conflict"
    assert plant.state("r-1").job.part.part_id == "p-1"


def test_an_oversized_image_is_refused_before_it_is_decoded(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap holds on the text itself."""
    monkeypatch.setattr(submit_module, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(FrameTooLarge):
        accept(message(), submission)


def test_a_store_that_is_away_refuses_nobody(plant: Plant, fresh_redis: FreshRedis) -> None:
    """The message comes again later, and no dead letter is written meanwhile."""
    server = fresh_redis()
    away = Submission(plant.ledger, FrameStore(server.url), plant.wake_up, plant.recipes)
    server.kill()
    with pytest.raises(StoreUnavailable):
        receive(message(), away)
    assert plant.ledger.jobs.dead_letters(10) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {}), ((message(), 2), {}), ((), {"zzz": 1}), (("hello",), {}), (([1],), {}), ((None,), {})],
)
def test_arguments_that_are_no_message_are_a_dead_letter(
    plant: Plant, submission: Submission, arguments: tuple[object, ...], named: dict[str, object]
) -> None:
    """Whatever another program gives the task, a person finds it."""
    receive(task_message(arguments, named), submission)
    (letter,) = plant.ledger.jobs.dead_letters(10)
    assert letter.problem.code == "bad-request"
    assert letter.problem.hint


def test_the_message_may_be_named() -> None:
    """A sender that calls the task by keyword sends the same part."""
    assert task_message((), {"message": message()}) == task_message((message(),), {})
