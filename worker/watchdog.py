"""Watches the engine: what it does, whether it can go on, whether its steps come to an end."""

from dataclasses import asdict
from typing import Any

import structlog

from engine import EngineStats
from services.infra.process.heartbeat import EngineStatus, Heartbeat, PriorityStatus
from worker.context import WorkerContext

log = structlog.get_logger()


def look(context: WorkerContext, longest_step_seconds: float) -> Heartbeat:
    """The worker's heartbeat, with what the engine does and why it cannot go on, if so.

    Sets `hung` when a step lasts longer than the limit: a call into a device cannot be broken off, so only
    a new process helps.
    """
    stats = context.engine.stats()
    fault = stats.failure
    if fault is None and stats.step_age > longest_step_seconds:
        fault = (
            f"a step of the engine has lasted {stats.step_age:.0f} s, longer than {longest_step_seconds:g} s"
        )
        if not context.hung.is_set():
            log.critical("engine_hung", detail=fault)
        context.hung.set()
    return context.progress.heartbeat().model_copy(update={"fault": fault, "engine": _status(stats)})


def _status(stats: EngineStats) -> EngineStatus:
    """The engine's statistics as a message."""
    values: dict[str, Any] = asdict(stats)
    return EngineStatus(
        **{name: value for name, value in values.items() if name in _COUNTS},
        verdicts=_priority(values["verdicts"]),
        reports=_priority(values["reports"]),
    )


def _priority(values: dict[str, Any]) -> PriorityStatus:
    return PriorityStatus(**{name: values[name] for name in PriorityStatus.model_fields})


_COUNTS = EngineStatus.model_fields.keys() - {"verdicts", "reports"}
