"""What becomes of a job that cannot be served: an error's meaning, decided in one place."""

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import TypeVar

from engine import DeadlinePassed, EngineError, ImageInvalid, PromptInvalid
from services.infra.process.errors import (
    DeliveriesExhausted,
    EngineFailed,
    FrameInvalid,
    FrameUnfit,
    LynceusError,
    PartTooLate,
    RecipeInvalid,
)
from services.infra.stores.ledger import Entry

Meaning = TypeVar("Meaning")


class Fate(Enum):
    """What becomes of a job whose delivery ended in an error."""

    CONCLUDED = auto()
    """The part is NOT_INSPECTED (late, unfit frame), and nobody needs to fix a fault."""
    RETRIED = auto()
    """The same job may succeed when it is tried again."""
    DEAD = auto()
    """Bad input: it never succeeds, and a person has to look."""


_FATES: Mapping[type[LynceusError], Fate] = MappingProxyType(
    {
        PartTooLate: Fate.CONCLUDED,
        FrameUnfit: Fate.CONCLUDED,
        EngineFailed: Fate.RETRIED,
        LynceusError: Fate.DEAD,
    }
)

_OF_ENGINE: Mapping[type[EngineError], type[LynceusError]] = MappingProxyType(
    {
        DeadlinePassed: PartTooLate,
        ImageInvalid: FrameInvalid,
        PromptInvalid: RecipeInvalid,
        EngineError: EngineFailed,
    }
)
"""The engine imports nothing of ours, so its errors are translated here."""


def fate_of(error: LynceusError) -> Fate:
    """What becomes of the job, by the nearest class of the error that is mapped."""
    return _nearest(_FATES, type(error))


def as_service_error(error: EngineError) -> LynceusError:
    """The engine's error in the one tree of service errors, with its words and its hint."""
    return _nearest(_OF_ENGINE, type(error))(error.detail, hint=error.hint)


def exhausted(entry: Entry, error: LynceusError | None = None) -> DeliveriesExhausted:
    """The error of a job delivered as often as is allowed; `error` is how the last delivery failed."""
    how = f"the last time with: {error.detail}" if error else "each time the worker ended before it committed"
    return DeliveriesExhausted(
        f"delivered {entry.deliveries} times without a result, {how}",
        hint=(error.hint if error else None) or "look at this part's frame and at the worker's log",
    )


def _nearest(table: Mapping[type, Meaning], kind: type) -> Meaning:
    return next(table[base] for base in kind.__mro__ if base in table)
