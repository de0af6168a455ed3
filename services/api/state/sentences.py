"""The state of the installation in sentences, worst news first."""

from collections.abc import Iterator, Sequence

from services.api.state.plant import DEAD_LETTERS_COUNTED, PlantStatus, Process, QueueState
from services.infra.process.heartbeat import EngineStatus, PriorityStatus
from services.infra.process.names import Queue

NEARLY_FULL = 0.8
"""Fraction of a store's memory from which it is worth a sentence."""

MISSED_SECONDS = 3600.0
"""How long a silent process is spoken of when another one does its work."""

WAITS_FOR = {Queue.INSPECT: "verdict", Queue.DIAGNOSE: "report"}


def span(seconds: float) -> str:
    """A duration as a person says it: `0.4 s`, `12 s`, `5 min`, `3 h`, `2 days`."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def in_words(status: PlantStatus) -> tuple[str, ...]:
    """Sentences for a person who has ten seconds, beginning with what needs a hand."""
    return (*alarms(status), *news(status))


def is_missed(process: Process, everyone: Sequence[Process]) -> bool:
    """True for a silent process that a person should look for.

    A restarted process comes back under a new name; its old one is worth a word for an hour only.
    """
    if process.is_alive:
        return False
    has_successor = any(
        other.is_alive and other.heartbeat.kind == process.heartbeat.kind for other in everyone
    )
    return not has_successor or process.silent_seconds < MISSED_SECONDS


def alarms(status: PlantStatus) -> Iterator[str]:
    """What needs a hand now."""
    if not any(process.is_live_worker for process in status.processes):
        yield "No worker is alive: parts will pass their deadlines. Start one with `python -m worker`."
    for process in status.processes:
        if is_missed(process, status.processes):
            silence = span(process.silent_seconds)
            yield f"The {process.heartbeat.kind} {process.heartbeat.name} has been silent for {silence}."
        if process.is_alive and process.heartbeat.fault:
            name, fault = process.heartbeat.name, process.heartbeat.fault
            yield f"{name} cannot go on: {fault}. It must be started again."
        if process.is_alive and process.heartbeat.last_error:
            yield f"{process.heartbeat.name} last failed with: {process.heartbeat.last_error}"
    if status.dead_letters:
        number = "at least " * (status.dead_letters == DEAD_LETTERS_COUNTED) + str(status.dead_letters)
        yield f"Jobs given up: {number}. GET /v1/dead-letters lists them with their reasons."
    for store, used in (("frame store", status.frames_used), ("ledger", status.ledger_used)):
        if used >= NEARLY_FULL:
            yield f"The {store} is {used:.0%} full; new frames will have to wait."


def news(status: PlantStatus) -> Iterator[str]:
    """How things go."""
    yield from map(_queue, status.queues)
    for model in status.models:
        yield f"{model.name} judges on {model.device or 'an unnamed device'}."
    for process in status.processes:
        if process.is_alive and process.heartbeat.engine is not None:
            yield from _engine(process.heartbeat.name, process.heartbeat.engine)
    for latency in status.latencies:
        if latency.stage == "verdict":
            yield (
                f"Of the last {latency.count} verdicts half took up to {_short_span(latency.p50_ms)} "
                f"and 99 of 100 up to {_short_span(latency.p99_ms)} from acceptance."
            )
    for camera in status.cameras:
        yield f"Camera {camera.frame.camera_id} last sent a frame {span(camera.silent_seconds)} ago."


def _engine(name: str, engine: EngineStatus) -> Iterator[str]:
    """What the engine of one worker does, once it has done something."""
    if engine.steps:
        yield (
            f"The engine of {name} takes {_short_span(engine.step_p50 * 1000)} a step, 95 of 100 up to "
            f"{_short_span(engine.step_p95 * 1000)}, with {engine.batch_mean:.1f} requests in each: "
            f"{engine.tokens_per_second:.0f} tokens a second."
        )
    for what, queue in (("verdicts", engine.verdicts), ("reports", engine.reports)):
        if queue.waiting or queue.running or queue.finished:
            yield _priority(what, queue)
    if engine.cache_blocks:
        used, kept = (
            part / engine.cache_blocks for part in (engine.cache_blocks_used, engine.cache_blocks_kept)
        )
        yield f"Its memory for requests is {used:.0%} in use, and {kept:.0%} keeps what may come again."


def _priority(what: str, queue: PriorityStatus) -> str:
    half = _short_span(queue.wait_p50 * 1000)
    parts = [
        f"Of {what} it has {queue.running} at work and {queue.waiting} waiting, half of them up to {half}"
    ]
    if queue.prompt_tokens:
        parts.append(f"{queue.reused_tokens / queue.prompt_tokens:.0%} of their prompts was known already")
    if queue.preemptions:
        parts.append(f"{queue.preemptions} times one was preempted and began anew")
    return "; ".join(parts) + "."


def _short_span(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _queue(queue: QueueState) -> str:
    what = WAITS_FOR[queue.queue]
    if queue.waiting == 0:
        return f"Nothing waits for a {what}."
    noun = "part waits" if queue.waiting == 1 else "parts wait"
    return f"{queue.waiting} {noun} for a {what}, the oldest for {span(queue.oldest_wait_seconds)}."
