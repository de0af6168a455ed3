"""What becomes of a job that cannot be served: an error's meaning, decided in one place."""

from collections.abc import Mapping
from types import MappingProxyType

from engine import DeadlinePassed as EngineDeadlinePassed
from engine import EngineError, ImageInvalid, PromptInvalid
from services.infra.process.errors import (
    DeadlinePassed,
    DeliveriesExhausted,
    EngineFailed,
    FrameInvalid,
    FrameUnfit,
    LynceusError,
    RecipeInvalid,
)
from services.infra.stores.ledger import Entry

_OF_ENGINE: Mapping[type[EngineError], type[LynceusError]] = MappingProxyType(
    {
        EngineDeadlinePassed: DeadlinePassed,
        ImageInvalid: FrameInvalid,
        PromptInvalid: RecipeInvalid,
    }
)
"""The engine imports nothing of ours, so its errors are translated here; any other is EngineFailed."""


def as_service_error(error: EngineError) -> LynceusError:
    """The engine's error in the one tree of service errors, with its words and its hint."""
    kinds = [service for engine, service in _OF_ENGINE.items() if isinstance(error, engine)]
    kind = kinds[0] if kinds else EngineFailed
    return kind(error.detail, hint=error.hint)


def is_verdict(error: LynceusError) -> bool:
    """Whether the part is simply NOT_INSPECTED (late, unfit frame) and nobody needs to fix a fault."""
    return isinstance(error, DeadlinePassed | FrameUnfit)


def may_pass(error: LynceusError) -> bool:
    """Whether the same job may succeed when it is tried again; bad input never does."""
    return isinstance(error, EngineFailed)


def exhausted(entry: Entry, error: LynceusError | None = None) -> DeliveriesExhausted:
    """The error of a job delivered as often as is allowed; `error` is how the last delivery failed."""
    how = f"the last time with: {error.detail}" if error else "each time the worker ended before it committed"
    return DeliveriesExhausted(
        f"delivered {entry.deliveries} times without a result, {how}",
        hint=(error.hint if error else None) or "look at this part's frame and at the worker's log",
    )
