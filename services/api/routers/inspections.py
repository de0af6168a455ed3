"""/v1/inspections: hand in a part's image, follow its inspection, see the image again."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import structlog
from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response

from schemas.job import InspectionJob
from services.api.identifiers import ResultId
from services.api.ports import Ports, PortsOf
from services.api.representations import AcceptedInspection, InspectionState, links_of
from services.api.state.lookup import find, image_of
from services.api.uploads import FORM, JSON, InspectionBody, Upload, form_schema, read_upload
from services.infra.intake import Picture, read_picture
from services.infra.intake.submission import SubmissionRequest
from services.infra.process.errors import (
    DuplicateConflict,
    NotFound,
    Overloaded,
    RecipeInvalid,
    StoreUnavailable,
)

router = APIRouter(prefix="/v1/inspections", tags=["inspections"])

log = structlog.get_logger(__name__)

POLL_SECONDS = 1
"""The Retry-After hint while a result is still to come."""

MOST_WAITING = 32
"""Uploads that may wait for their turn: about a second's work of a small plant's machine."""

REQUEST_BODY = {
    "required": True,
    "content": {FORM: {"schema": form_schema()}, JSON: {"schema": InspectionBody.model_json_schema()}},
}

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="One key per part and image; sending the same request again under it changes nothing.",
    ),
]


@router.post(
    "",
    status_code=202,
    openapi_extra={"requestBody": REQUEST_BODY},
    summary="Hand in the image of a part",
)
async def submit(
    request: Request, response: Response, ports: PortsOf, idempotency_key: IdempotencyKey
) -> AcceptedInspection:
    """Accept an image for inspection; the verdict is found under Location.

    The same key with the same request gets the same answer, with another request 422. The deadline counts
    from the request's arrival. What would wait for over a second is refused with 503 and Retry-After.
    """
    arrived_at = datetime.now(UTC)
    _require_turn(ports)
    upload = await read_upload(request)
    # Once more: while this body came in, others may have come before it.
    _require_turn(ports)
    job = await to_thread.run_sync(_accept, ports, upload, idempotency_key, arrived_at, limiter=ports.uploads)
    links = links_of(job.result_id, has_report=False)
    response.headers["Location"] = links.self
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return AcceptedInspection(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        creation_time=job.creation_time,
        deadline=job.deadline,
        is_simulated=job.is_simulated,
        links=links,
    )


def result_id_of(idempotency_key: str) -> str:
    """The result id that a key stands for: always the same one, so that no table of keys is needed."""
    return f"api-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]}"


def _require_turn(ports: Ports) -> None:
    """Raises Overloaded where so many wait that this one would wait for over a second."""
    waiting = ports.uploads.statistics().tasks_waiting
    if waiting >= MOST_WAITING:
        raise Overloaded(f"{waiting} uploads wait already", hint="send it again after Retry-After")


def _accept(ports: Ports, upload: Upload, idempotency_key: str, arrived_at: datetime) -> InspectionJob:
    _reload_recipes(ports)
    request = SubmissionRequest(result_id=result_id_of(idempotency_key), **upload.fields.model_dump())
    if ports.ledger.jobs.state(request.result_id) is None:
        _refuse_if_forgotten(ports, request.result_id)
    picture = read_picture(upload.image) if upload.image is not None else _stored_picture(ports, upload)
    return ports.submission.accept(request, picture, arrived_at).job


def _reload_recipes(ports: Ports) -> None:
    try:
        ports.recipes.reload_if_changed()
    except RecipeInvalid as error:
        # The caller sent nothing wrong: the old recipes stay in force, and the log tells who edits them.
        log.warning("recipes not reloaded", detail=error.detail)


def _refuse_if_forgotten(ports: Ports, result_id: str) -> None:
    """Refuse a key whose job the ledger has forgotten and whose result is stored: bodies cannot be compared.

    With the database away the door stays open, because the line must not stop for it.
    """
    with suppress(NotFound, StoreUnavailable):
        ports.results.get(result_id)
        raise DuplicateConflict(
            f"this Idempotency-Key belongs to the finished result {result_id!r}",
            hint="use a new key for each part and image; keys are compared for one day after the result",
        )


def _stored_picture(ports: Ports, upload: Upload) -> Picture:
    assert upload.frame_of is not None
    picture = read_picture(image_of(ports, find(ports, upload.frame_of)))
    if picture.digest != upload.frame_digest:
        raise DuplicateConflict(
            f"the image of {upload.frame_of!r} has digest {picture.digest}, not {upload.frame_digest}",
            hint="send the digest that GET /v1/inspections/{result_id} shows under `frame`",
        )
    return picture


@router.get("/{result_id}", summary="How far an inspection has come")
def inspection(result_id: ResultId, response: Response, ports: PortsOf) -> InspectionState:
    """The stage of an inspection, and its verdict once there is one."""
    known = find(ports, result_id)
    if not known.stage.is_final:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return InspectionState(
        result_id=known.result_id,
        stage=known.stage,
        part=known.part,
        frame=known.frame,
        verdict=known.verdict,
        problem=known.problem,
        signature=known.signature,
        links=links_of(known.result_id, has_report=known.report is not None),
    )


@router.get(
    "/{result_id}/image",
    summary="The image that was inspected",
    response_class=Response,
    responses={200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
def image(result_id: ResultId, ports: PortsOf) -> Response:
    """The image as it came in; 404 once the recipe's retention has dropped it."""
    known = find(ports, result_id)
    headers = {
        "ETag": f'"{known.frame.digest}"',
        "Cache-Control": "private, max-age=86400, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(image_of(ports, known), media_type=known.frame.media_type, headers=headers)
