"""A problem record (RFC 9457): the same object on REST, in a verdict and in the dead-letter list."""

from pydantic import Field

from schemas.base import Message


class FieldError(Message):
    """One wrong value: where it stands, what it is, and how to fix it."""

    field: str
    """The dotted path of the field, as the sender wrote it: `classes.2.severity`."""
    value: str | None = None
    """The value as text, shortened where it is long; None where the field is missing."""
    file: str | None = None
    line: int | None = Field(default=None, ge=1)
    detail: str
    hint: str
    """What to write instead, or what to do, as one sentence."""


class Problem(Message):
    """Says what went wrong in the shape of RFC 9457, with our own `code`, `hint` and list of wrong fields."""

    type: str
    """A URI reference that identifies the kind of problem: `/problems/<code>`."""
    title: str
    """What kind of problem it is, the same words each time."""
    status: int = Field(ge=100, le=599)
    """The HTTP status it has on REST; kept elsewhere so that one record serves everywhere."""
    detail: str
    """What happened this time, with the values."""
    code: str
    """The same kind as one word that a program can compare."""
    instance: str | None = None
    """A URI reference to what it happened to, such as the inspection."""
    hint: str | None = None
    errors: tuple[FieldError, ...] = ()
