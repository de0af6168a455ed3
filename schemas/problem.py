"""A problem record (RFC 9457): the same object on REST, in a verdict and in the dead-letter list."""

from pydantic import Field

from schemas.base import Message


class FieldError(Message):
    """One wrong value: where it stands, what it is, and how to mend it."""

    field: str
    value: str | None = None
    file: str | None = None
    line: int | None = None
    detail: str
    mend: str


class Problem(Message):
    """Says what went wrong in the shape of RFC 9457, with our own `code` and the list of wrong fields."""

    type: str
    """A URI reference that identifies the kind of problem: `/problems/<code>`."""
    title: str
    status: int = Field(ge=100, le=599)
    detail: str
    code: str
    instance: str | None = None
    mend: str | None = None
    errors: tuple[FieldError, ...] = ()
