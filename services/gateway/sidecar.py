"""Which part a file shows: its name is the serial, and a JSON file beside it may say more."""

from pathlib import Path

from pydantic import ValidationError

from schemas.base import Identifier, Message
from schemas.problem import FieldError
from services.infra.process.errors import BadRequest


class Sidecar(Message):
    """The content of `SERIAL.json` beside `SERIAL.png`; write it before the image."""

    part_id: Identifier | None = None
    lot_id: Identifier | None = None
    job_id: Identifier | None = None


def sidecar_path(image: Path) -> Path:
    """Where the sidecar of an image stands."""
    return image.with_suffix(".json")


def read_sidecar(image: Path) -> Sidecar:
    """The sidecar of an image, empty where there is none; raises BadRequest naming every wrong field."""
    path = sidecar_path(image)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Sidecar()
    try:
        return Sidecar.model_validate_json(text)
    except ValidationError as error:
        raise BadRequest(
            f"the sidecar {path.name} of {image.name} is wrong",
            hint=f"correct {path.name} and move both files back",
            errors=_field_errors(path, error),
        ) from error


def _field_errors(path: Path, error: ValidationError) -> list[FieldError]:
    return [
        FieldError(
            field=".".join(str(part) for part in item["loc"]) or "(whole file)",
            value=str(item["input"])[:200],
            file=path.name,
            detail=item["msg"],
            hint='a JSON object with "part_id", "lot_id" and "job_id" only, of letters, digits and . _ : -',
        )
        for item in error.errors()
    ]
