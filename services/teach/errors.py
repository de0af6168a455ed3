"""What teaching may fail with; each names the field, the value and the way out."""

from typing import Self

from schemas.problem import FieldError
from services.infra.process.errors import LynceusError


class TeachingError(LynceusError):
    """Something about the pictures, the recipe or the aims that a person can change."""

    code = "teaching-refused"
    title = "Teaching cannot go on"
    status = 422

    @classmethod
    def of(cls, field: str, value: object, detail: str, hint: str) -> Self:
        """The error about one value."""
        wrong = FieldError(field=field, value=str(value)[:200], detail=detail, hint=hint)
        return cls(f"{field} {str(value)[:200]!r}: {detail}", hint=hint, errors=(wrong,))


class FolderInvalid(TeachingError):
    """The folder holds no pictures that can be understood."""

    code = "folder-invalid"
    title = "Folder cannot be used"


class TooFewPictures(TeachingError):
    """There are not enough pictures for what was asked."""

    code = "too-few-pictures"
    title = "Too few pictures"


class AimUnreachable(TeachingError):
    """No threshold keeps the asked bound on these pictures."""

    code = "aim-unreachable"
    title = "The bound cannot be kept"


class ArtefactInvalid(TeachingError):
    """What was taught for a recipe is missing, or is not what the recipe names."""

    code = "artefact-invalid"
    title = "Taught part is invalid"
