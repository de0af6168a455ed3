"""What pydantic finds wrong, as field errors; every door, file and setting of ours says it in this form."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from schemas.problem import FieldError

LONGEST_VALUE = 200
"""Characters of a wrong value that are echoed; its sender knows the rest."""


def field_errors(error: ValidationError, hint: str, whole: str, file: str | None = None) -> list[FieldError]:
    """Each error of a message that could not be parsed; `whole` is the name of the message itself."""
    found = error.errors(include_url=False, include_context=False)
    return [field_error(item, hint, whole).model_copy(update={"file": file}) for item in found]


def field_error(
    item: Mapping[str, Any], hint: str, whole: str, hints: Mapping[str, str] = MappingProxyType({})
) -> FieldError:
    """One error of pydantic's list; `hints` names kinds of error that have a better hint."""
    return FieldError(
        field=dotted(item["loc"]) or whole,
        value=None if item["type"] == "missing" else _shown(item.get("input")),
        detail=item["msg"].removeprefix("Value error, "),
        hint=hints.get(item["type"], hint),
    )


def dotted(location: Sequence[int | str]) -> str:
    """The place of a field as a person writes it: `classes.2.severity`."""
    return ".".join(map(str, location))


def _shown(value: object) -> str | None:
    # A whole message tells nothing of the field that is wrong in it, and may hold an image.
    if value is None or isinstance(value, Mapping):
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
