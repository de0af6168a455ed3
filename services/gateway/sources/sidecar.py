"""Which part a file shows: its name is the serial, and a JSON file beside it may say more."""

import errno
from pathlib import Path

from pydantic import ValidationError

from schemas.base import Identifier, Message
from schemas.problem import FieldError
from services.gateway.sources.file_names import readable
from services.infra.process.errors import BadRequest
from services.infra.process.field_errors import field_errors

WHOLE = "(whole file)"
"""The field of an error that is of no single field."""

HINT = 'a JSON object with "part_id", "lot_id" and "job_id" only, of letters, digits and . _ : -'


class Sidecar(Message):
    """The content of `SERIAL.json` beside `SERIAL.png`; write it before the image."""

    part_id: Identifier | None = None
    lot_id: Identifier | None = None
    job_id: Identifier | None = None


def sidecar_path(image: Path) -> Path:
    """Where the sidecar of an image stands."""
    return image.with_suffix(".json")


def has_sidecar(image: Path) -> bool:
    """Whether something stands where the sidecar of an image belongs."""
    try:
        return sidecar_path(image).exists()
    except OSError as error:
        # A name that is too long for a file is the name of none.
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def read_sidecar(image: Path) -> Sidecar:
    """The sidecar of an image, empty where there is none.

    Raises BadRequest naming every wrong field, or why it cannot be read.
    """
    if not has_sidecar(image):
        return Sidecar()
    path = sidecar_path(image)
    try:
        return Sidecar.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _wrong(path, field_errors(error, HINT, WHOLE, readable(path))) from error
    except OSError as error:
        hint = "put a JSON file there, or nothing"
        unreadable = FieldError(field=WHOLE, file=readable(path), detail=str(error.strerror), hint=hint)
        raise _wrong(path, [unreadable]) from error


def _wrong(path: Path, errors: list[FieldError]) -> BadRequest:
    name = readable(path)
    return BadRequest(
        f"the sidecar {name} is wrong: {errors[0].detail}",
        hint=f"correct {name} and move it and its image back",
        errors=errors,
    )
