"""The one tree of service errors; each is a problem record (RFC 9457) on REST and in the dead-letter list."""

from collections.abc import Sequence
from typing import ClassVar

from schemas.problem import FieldError, Problem


class LynceusError(Exception):
    """An error with a stable code, an HTTP status, what happened, and how to fix it.

    `code`, `title` and `status` belong to the class; `detail`, `hint` and `errors` to the occasion.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, *, hint: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.errors = tuple(errors)

    def problem(self, instance: str | None = None) -> Problem:
        """The RFC 9457 record of this error; `instance` is the URI of the thing it happened to."""
        return Problem(
            type=f"/problems/{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            instance=instance,
            hint=self.hint,
            errors=self.errors,
        )


class BadRequest(LynceusError):
    """A request with a wrong or missing value."""

    code = "bad-request"
    title = "Bad request"
    status = 400


class NotFound(LynceusError):
    """Nothing is known under this id."""

    code = "not-found"
    title = "Not found"
    status = 404


class FrameMissing(NotFound):
    """The pixels of a job are no longer in the frame store."""

    code = "frame-missing"
    title = "Frame missing"


class FrameInvalid(LynceusError):
    """The bytes claim to be an image and cannot be decoded as one."""

    code = "frame-invalid"
    title = "Image cannot be decoded"
    status = 422


class FrameTruncated(FrameInvalid):
    """The image ends before its last pixel, or holds no bytes at all."""

    code = "frame-truncated"
    title = "Image is truncated"


class FrameUnfit(FrameInvalid):
    """The image decodes but cannot be judged: dark, blurred, frozen or of the wrong size."""

    code = "frame-unfit"
    title = "Frame is unfit for inspection"


class FrameTooLarge(LynceusError):
    """The image has more pixels, a longer side or more bytes than is allowed."""

    code = "frame-too-large"
    title = "Image is too large"
    status = 413


class UnsupportedImage(LynceusError):
    """The bytes are not an image of a kind that is taken."""

    code = "unsupported-image"
    title = "Unsupported image type"
    status = 415


class UnknownRecipe(LynceusError):
    """No recipe of this name is loaded."""

    code = "unknown-recipe"
    title = "Unknown recipe"
    status = 422


class UnknownStation(LynceusError):
    """No recipe is loaded for this station."""

    code = "unknown-station"
    title = "Unknown station"
    status = 422


class RecipeInvalid(LynceusError):
    """A recipe file is wrong; `errors` names every wrong field with its line."""

    code = "recipe-invalid"
    title = "Recipe is invalid"
    status = 422


class SourcesInvalid(LynceusError):
    """The gateway's sources file is wrong; `errors` names every wrong field with its line."""

    code = "sources-invalid"
    title = "Sources file is invalid"


class SettingsInvalid(LynceusError):
    """The process's settings are wrong; `errors` names every wrong variable."""

    code = "settings-invalid"
    title = "Settings are invalid"


class DuplicateConflict(LynceusError):
    """The id was used before with another body (draft-ietf-httpapi-idempotency-key-header: 422)."""

    code = "duplicate-conflict"
    title = "Same key, other body"
    status = 422


class AlreadySigned(LynceusError):
    """The report carries a signature already."""

    code = "already-signed"
    title = "Report is already signed"
    status = 409


class AlreadyReviewed(LynceusError):
    """Somebody else has decided on this part meanwhile, or has it before them."""

    code = "already-reviewed"
    title = "Part is reviewed by another"
    status = 409


class PartTooLate(LynceusError):
    """The part's deadline passed before it could be judged."""

    code = "deadline-passed"
    title = "Deadline passed"
    status = 504


class DeliveriesExhausted(LynceusError):
    """The job was handed out as often as is allowed and never finished."""

    code = "deliveries-exhausted"
    title = "Job failed on every delivery"


class DeviceMissing(LynceusError):
    """The GPU that the settings ask for is not there."""

    code = "device-missing"
    title = "No GPU"


class EngineFailed(LynceusError):
    """The engine refused or failed this job."""

    code = "engine-failed"
    title = "Engine failed"


class RecordInvalid(LynceusError):
    """A stored record cannot be read as the message it should be."""

    code = "record-invalid"
    title = "Stored record is invalid"


class DatabaseVersionMismatch(LynceusError):
    """The results database holds the tables of another version of the program."""

    code = "database-version-mismatch"
    title = "Database is of another version"


class StoreError(LynceusError):
    """A store could not take or give the record now; the same call may succeed later."""

    status = 503
    retry_after: ClassVar[int] = 2
    """Seconds after which trying again is sensible (the Retry-After header)."""


class StoreFull(StoreError):
    """A store is at its limit; nothing was written, and what it holds can still be read."""

    code = "store-full"
    title = "Store is full"
    retry_after = 5


class Overloaded(StoreError):
    """More comes in at once than is taken within a second; nothing was accepted."""

    code = "overloaded"
    title = "Too much at once"
    retry_after = 1


class StoreUnavailable(StoreError):
    """A store does not answer."""

    code = "store-unavailable"
    title = "Store is unavailable"


def in_words(problem: Problem) -> list[str]:
    """A problem as indented lines below its title: what happened, every wrong value, and the hints."""
    lines = [f"  {problem.detail}"]
    for wrong in problem.errors:
        place = f"{wrong.file}:{wrong.line} " if wrong.file else ""
        value = f" = {wrong.value}" if wrong.value is not None else ""
        lines += [f"  {place}{wrong.field}{value}: {wrong.detail}", f"    hint: {wrong.hint}"]
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return lines
