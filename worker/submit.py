"""The task message of `lynceus.submit`: what another program sends to have a part inspected."""

import base64
import binascii
import json
from typing import Any

import structlog
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from schemas.base import Message
from schemas.problem import FieldError
from services.infra.intake.submission import Accepted, Submission, SubmissionRequest
from services.infra.process.errors import BadRequest, FrameTooLarge, LynceusError, StoreError

MAX_PAYLOAD = 2_000
"""Characters of a refused message that are kept; enough to see what it was."""

MAX_IMAGE_BYTES = 20_000_000
"""As large as an upload over REST may be by default; anything larger does not belong in a queue."""

log = structlog.get_logger()


class SubmitMessage(Message):
    """One image and what is asked about it; the image is base64, since the queue speaks JSON."""

    request: SubmissionRequest
    image: str = Field(min_length=1)


def receive(message: dict[str, Any], submission: Submission) -> None:
    """Accepts the part, or puts the refusal among the dead letters: a queue has no caller to tell.

    Raises StoreError; the same message may then be received again.
    """
    try:
        accept(message, submission)
    except StoreError:
        raise
    except LynceusError as error:
        problem = error.problem()
        log.warning("submit_refused", code=problem.code, detail=problem.detail)
        submission.ledger.count("submit_refused")
        submission.ledger.refuse(_stated_id(message), problem, _without_image(message))


def accept(message: dict[str, Any], submission: Submission) -> Accepted:
    """Accepts the part as an upload over REST would; the same message again changes nothing.

    Raises BadRequest naming every wrong field, FrameTooLarge, and what Submission.accept raises.
    """
    parsed = _parse(message)
    return submission.accept(parsed.request, _image(parsed.image))


def _parse(message: dict[str, Any]) -> SubmitMessage:
    try:
        return SubmitMessage.model_validate(message)
    except ValidationError as error:
        errors = tuple(_field_error(item) for item in error.errors())
        raise BadRequest(
            f"{len(errors)} field(s) of the message are wrong: {', '.join(e.field for e in errors)}",
            hint='send {"request": {result_id, recipe_id, part_id, camera_id, …}, "image": "<base64>"}',
            errors=errors,
        ) from error


def _field_error(item: ErrorDetails) -> FieldError:
    field = ".".join(str(part) for part in item["loc"]) or "message"
    value = item["input"] if isinstance(item["input"], str | int | float | bool) else None
    return FieldError(
        field=field,
        value=None if value is None else str(value)[:80],
        detail=item["msg"],
        hint=f"correct or remove {field}",
    )


def _stated_id(message: dict[str, Any]) -> str:
    """What the message calls its result, for the dead letter; empty when it does not say."""
    request = message.get("request")
    return str(request.get("result_id", "")) if isinstance(request, dict) else ""


def _without_image(message: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in message.items() if key != "image"})[:MAX_PAYLOAD]


def _image(text: str) -> bytes:
    if len(text) * 3 // 4 > MAX_IMAGE_BYTES:
        raise FrameTooLarge(
            f"the image has about {len(text) * 3 // 4} bytes, more than {MAX_IMAGE_BYTES}",
            hint="send a compressed image, or upload it over REST",
        )
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadRequest(
            f"the image is not base64: {error}",
            hint="encode the file's bytes with standard base64, without line breaks",
            errors=(FieldError(field="image", detail=str(error), hint="encode it again"),),
        ) from error
