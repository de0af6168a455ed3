"""What a caller gets when it hands in a part: one job per key, and a hint for every mistake."""

import asyncio
import base64
import hashlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from schemas.job import InspectionJob
from services.api.routers.inspections import result_id_of
from services.infra.intake import Picture, RecipeBook
from services.infra.intake.submission import Submission, SubmissionRequest
from services.infra.process.errors import FrameMissing
from services.infra.process.names import Queue
from services.infra.stores.frames import FrameStore
from tests.api.conftest import Submit
from tests.api.line import Line, encoded, form, png
from tests.conftest import FreshRedis


def test_an_image_becomes_a_waiting_job(submit: Submit, client: TestClient, line: Line) -> None:
    """202 with the place to ask, a job in the queue, its image in the frame store, and the wake-up sent."""
    answered = submit(lot_id="LOT-7", camera_id="camera-2")

    assert answered.status_code == 202
    body = answered.json()
    assert answered.headers["Location"] == body["links"]["self"] == f"/v1/inspections/{body['result_id']}"
    assert int(answered.headers["Retry-After"]) > 0
    assert body["part"] == {
        "part_id": "SN-1",
        "lot_id": "LOT-7",
        "station_id": "station-surface",
        "camera_id": "camera-2",
        "recipe_id": "surface",
        "recipe_version": 1,
    }
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 1
    assert line.frames.get(body["result_id"]) == png()
    assert line.woken() == {Queue.INSPECT}
    found = client.get(answered.headers["Location"])
    assert found.json()["stage"] == "waiting"
    assert "Retry-After" in found.headers


def test_a_form_and_json_name_the_job_that_the_part_belongs_to(submit: Submit, client: TestClient) -> None:
    """The order or run is told back; without one the result id stands for it."""
    fields = {"recipe_id": "surface", "part_id": "SN-1", "image_base64": base64.b64encode(png()).decode()}
    by_json = client.post(
        "/v1/inspections", headers={"Idempotency-Key": "key-2"}, json=fields | {"job_id": "ORDER-5"}
    )
    unnamed = submit("key-3").json()

    assert submit("key-1", job_id="ORDER-5").json()["job_id"] == by_json.json()["job_id"] == "ORDER-5"
    assert unnamed["job_id"] == unnamed["result_id"]


def test_json_with_base64_asks_for_the_same_as_a_form(submit: Submit, client: TestClient, line: Line) -> None:
    """The two ways to send one request are one request: the second is the first again."""
    first = submit()
    body = {"recipe_id": "surface", "part_id": "SN-1", "image_base64": base64.b64encode(png()).decode()}
    second = client.post("/v1/inspections", headers={"Idempotency-Key": "key-1"}, json=body)

    assert second.status_code == 202
    assert second.json() == first.json()
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 1


def test_a_kept_image_is_inspected_again_by_reference(submit: Submit, client: TestClient, line: Line) -> None:
    """Result id and digest stand for the image; the new job has its own copy of it."""
    first = submit().json()
    body = {
        "recipe_id": "board",
        "part_id": "SN-1",
        "frame_of": first["result_id"],
        "frame_digest": first["frame"]["digest"],
    }
    second = client.post("/v1/inspections", headers={"Idempotency-Key": "key-2"}, json=body)

    assert second.status_code == 202
    assert second.json()["part"]["station_id"] == "station-board"
    assert line.frames.get(second.json()["result_id"]) == png()


def test_a_reference_to_another_image_than_named_is_refused(submit: Submit, client: TestClient) -> None:
    """The digest guards against judging a picture that the caller did not mean."""
    first = submit().json()
    body = {
        "recipe_id": "board",
        "part_id": "SN-1",
        "frame_of": first["result_id"],
        "frame_digest": hashlib.sha256(b"another").hexdigest(),
    }
    answered = client.post("/v1/inspections", headers={"Idempotency-Key": "key-2"}, json=body)

    assert answered.status_code == 422
    assert first["frame"]["digest"] in answered.json()["detail"]


def test_a_hundred_posts_with_one_key_make_one_job(line: Line) -> None:
    """All that are taken get the same 202, whoever came first; the others are told when to come again."""

    async def post_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=line.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://line") as client:
            return await asyncio.gather(
                *(client.post("/v1/inspections", **form("the-same")) for _ in range(100))
            )

    answers = asyncio.run(post_all())

    taken = [answered for answered in answers if answered.status_code == 202]
    refused = [answered for answered in answers if answered not in taken]
    assert taken
    assert len({answered.text for answered in taken}) == 1
    assert {answered.json()["code"] for answered in refused} <= {"overloaded"}
    assert all(int(answered.headers["Retry-After"]) >= 1 for answered in refused)
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 1


def test_what_would_wait_too_long_is_refused_at_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every place at the door taken, an upload gets 503 and Retry-After, and leaves nothing behind."""
    monkeypatch.setattr("services.api.routers.inspections.MOST_WAITING", 0)
    with TestClient(line.app()) as client:
        answered = client.post("/v1/inspections", **form("key-1"))
    assert answered.status_code == 503
    assert answered.json()["code"] == "overloaded"
    assert answered.headers["Retry-After"] == "1"
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 0


def test_the_deadline_counts_from_the_arrival(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that waited at the door is no younger for it."""
    waited = timedelta(seconds=45)
    prepare = Submission.prepare

    def after_a_wait(
        door: Submission, request: SubmissionRequest, picture: Picture, arrived_at: datetime | None = None
    ) -> InspectionJob:
        assert arrived_at is not None
        return prepare(door, request, picture, arrived_at - waited)

    monkeypatch.setattr(Submission, "prepare", after_a_wait)
    with TestClient(line.app()) as client:
        body = client.post("/v1/inspections", **form("key-1", deadline_ms="5000")).json()
    assert datetime.fromisoformat(body["deadline"]) < datetime.now(UTC)


@pytest.mark.parametrize(
    "change", [{"part_id": "SN-2"}, {"recipe_id": "board"}, {"deadline_ms": "77"}, {"is_simulated": "true"}]
)
def test_the_same_key_with_another_request_is_refused(
    submit: Submit, client: TestClient, line: Line, change: dict[str, str]
) -> None:
    """422, and the first job stays as it was."""
    submit()
    request = form("key-1")
    request["data"] |= change
    answered = client.post("/v1/inspections", **request)

    assert answered.status_code == 422
    assert answered.json()["code"] == "duplicate-conflict"
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 1


def test_the_same_key_with_another_image_is_refused(submit: Submit, line: Line) -> None:
    """422, and the image kept is the first one."""
    result_id = submit().json()["result_id"]
    answered = submit(data=png(seed=1))

    assert answered.status_code == 422
    assert line.frames.get(result_id) == png()


def test_a_key_whose_job_is_long_finished_is_refused(submit: Submit, line: Line) -> None:
    """When only the database remembers the result, a new image must not be answered with the old verdict."""
    submit()
    verdict = line.decide(0.01)
    line.store()
    forgetful = replace(line, ledger=line.empty_ledger())
    with TestClient(forgetful.app()) as client:
        answered = client.post("/v1/inspections", **form("key-1", data=png(seed=9)))

    assert answered.status_code == 422
    assert verdict.result_id in answered.json()["detail"]


def test_a_dark_frame_is_taken_and_marked_as_unusable(submit: Submit, line: Line) -> None:
    """The part exists and must end in a verdict, so the gate records it instead of refusing it."""
    answered = submit(data=encoded(Image.new("RGB", (96, 80), (2, 2, 2))))

    assert answered.status_code == 202
    state = line.ledger.jobs.state(answered.json()["result_id"])
    assert state is not None
    assert state.job.unusable_reason is not None
    assert "dark" in state.job.unusable_reason


def test_a_full_frame_store_asks_to_come_back(line: Line, fresh_redis: FreshRedis) -> None:
    """503 with Retry-After, and nothing half accepted: neither a job nor an image is left behind."""
    frames = FrameStore(fresh_redis(maxmemory="64mb", appendonly=False).url)
    full = replace(line, frames=frames)
    with TestClient(full.app(frames_high_water=0.001)) as client:
        answered = client.post("/v1/inspections", **form("key-1"))

    assert answered.status_code == 503
    assert answered.json()["code"] == "store-full"
    assert int(answered.headers["Retry-After"]) > 0
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 0
    with pytest.raises(FrameMissing):
        frames.get(result_id_of("key-1"))


def test_an_edited_recipe_counts_from_the_next_part_on(line: Line, tmp_path: Path) -> None:
    """No restart is needed, and a file saved half-way leaves the old recipe in force."""
    recipes = tmp_path / "recipes"
    shutil.copytree(line.settings.recipes_dir, recipes)
    edited = replace(line, recipes=RecipeBook(recipes))
    text = (recipes / "surface.yaml").read_text(encoding="utf-8")
    with TestClient(edited.app()) as client:
        (recipes / "surface.yaml").write_text(text.replace("version: 1", "version: 2"), encoding="utf-8")
        second = client.post("/v1/inspections", **form("key-2"))
        (recipes / "surface.yaml").write_text("recipe_id: [", encoding="utf-8")
        broken = client.post("/v1/inspections", **form("key-3"))

    assert second.json()["part"]["recipe_version"] == 2
    assert broken.json()["part"]["recipe_version"] == 2
