"""The task message of `lynceus.submit`: what another program sends to have a part inspected."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

import structlog
from pydantic import Field, ValidationError

from schemas.base import Message
from schemas.problem import FieldError
from services.infra.intake import read_picture
from services.infra.intake.submission import Accepted, Submission, SubmissionRequest
from services.infra.process.errors import BadRequest, FrameTooLarge, LynceusError, StoreError
from services.infra.process.field_errors import field_errors
from services.infra.process.names import SUBMIT_TASK
from services.infra.stores.ledger import Ledger

MAX_PAYLOAD = 2_000
"""Characters of a refused message that are kept; enough to see what it was."""

MAX_IMAGE_BYTES = 20_000_000
"""As large as an upload over REST may be by default; anything larger does not belong in a queue."""

log = structlog.get_logger()


class SubmitMessage(Message):
    """One image and what is asked about it; the image is base64, since the queue speaks JSON."""

    request: SubmissionRequest
    image: str = Field(min_length=1)


def task_message(arguments: Sequence[object], named: Mapping[str, object]) -> object:
    """The message in the arguments of the task: the only one, or the one named `message`."""
    if len(arguments) == 1 and not named:
        return arguments[0]
    if not arguments and set(named) == {"message"}:
        return named["message"]
    return {"args": list(arguments), "kwargs": dict(named)}


def receive(message: object, submission: Submission) -> None:
    """Accepts the part, or puts the refusal among the dead letters: a queue has no caller to tell.

    Raises StoreError; the same message may then be received again.
    """
    try:
        accept(message, submission)
    except StoreError:
        raise
    except LynceusError as error:
        _refuse(submission.ledger, _stated_id(message), error, _without_image(message))


def refuse_body(ledger: Ledger, detail: str, body: object) -> None:
    """Puts a Celery message that is no task among the dead letters, as far as it can be read."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    error = BadRequest(detail, hint=f"send the task {SUBMIT_TASK} with one argument, as JSON")
    _refuse(ledger, "", error, text)


def _refuse(ledger: Ledger, result_id: str, error: LynceusError, payload: str) -> None:
    log.warning("submit_refused", code=error.code, detail=error.detail)
    ledger.telemetry.count("submit_refused")
    ledger.jobs.refuse(result_id, error.problem(), payload[:MAX_PAYLOAD])


def accept(message: object, submission: Submission) -> Accepted:
    """Accepts the part as an upload over REST would; the same message again changes nothing.

    Raises BadRequest naming every wrong field, FrameTooLarge, and what `read_picture` and `Submission.accept`
    raise.
    """
    parsed = _parse(message)
    return submission.accept(parsed.request, read_picture(_image(parsed.image)))


def _parse(message: object) -> SubmitMessage:
    try:
        return SubmitMessage.model_validate(message)
    except ValidationError as error:
        errors = field_errors(error, hint="correct or remove this field", whole="message")
        raise BadRequest(
            f"{len(errors)} field(s) of the message are wrong: {', '.join(e.field for e in errors)}",
            hint='send {"request": {result_id, recipe_id, part_id, camera_id, …}, "image": "<base64>"}',
            errors=errors,
        ) from error


def _stated_id(message: object) -> str:
    """What the message calls its result, for the dead letter; empty when it does not say."""
    request = message.get("request") if isinstance(message, dict) else None
    return str(request.get("result_id", "")) if isinstance(request, dict) else ""


def _without_image(message: object) -> str:
    if isinstance(message, dict):
        message = {key: value for key, value in message.items() if key != "image"}
    return json.dumps(message)


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
