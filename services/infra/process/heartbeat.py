"""What a process notes of its work, and the heartbeat that it is sent as."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from pydantic import Field

from schemas.base import Message, Timestamp
from services.infra.process.names import Queue

KEPT = 512
"""Newest times of a stage that the percentiles are taken over."""

UNINSTALLED = "uninstalled"
"""The code version of a source tree that was never installed as a package."""


class StageTime(Message):
    """One stage: how often it ran since the start, and percentiles of its newest times by nearest rank."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float


class PriorityStatus(Message):
    """The requests of one priority: those in the engine now, and counts since its start."""

    waiting: int = Field(ge=0)
    running: int = Field(ge=0)
    finished: int = Field(ge=0)
    failed: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    prompt_tokens: int = Field(ge=0)
    reused_tokens: int = Field(ge=0)
    """Those of the prompt tokens that were computed for an earlier prompt."""
    completion_tokens: int = Field(ge=0)
    preemptions: int = Field(ge=0)
    """How often a request gave up its memory for another one, to be computed again."""
    wait_p50: float = Field(ge=0.0)
    """Seconds between a request and the first work on it, of recent requests."""
    wait_p95: float = Field(ge=0.0)


class EngineStatus(Message):
    """The engine's steps and caches; step times in seconds, of recent steps."""

    verdicts: PriorityStatus
    reports: PriorityStatus
    steps: int = Field(ge=0)
    step_p50: float = Field(ge=0.0)
    step_p95: float = Field(ge=0.0)
    step_age: float = Field(ge=0.0)
    """How long the present step has lasted; 0 when the engine rests."""
    batch_mean: float = Field(ge=0.0)
    """Requests that share a step, on average."""
    tokens_per_second: float = Field(ge=0.0)
    cache_bytes: int = Field(ge=0)
    cache_blocks: int = Field(ge=0)
    cache_blocks_used: int = Field(ge=0)
    cache_blocks_kept: int = Field(ge=0)
    """Blocks that belong to no request and hold what a later prompt may begin with."""
    images_seen: int = Field(ge=0)
    images_reused: int = Field(ge=0)
    """Images whose features were there already."""


class Heartbeat(Message):
    """A process's heartbeat and progress; health looks at `finished`, not only at `moment`."""

    name: str
    kind: str
    """gateway, worker or result-writer."""
    moment: Timestamp
    started_at: Timestamp
    finished: int = Field(default=0, ge=0)
    """Jobs brought to an end since the start."""
    failures: int = Field(default=0, ge=0)
    """Errors caught at the outermost loop since the start."""
    last_error: str | None = None
    queues: tuple[Queue, ...] = ()
    model_name: str | None = None
    model_digest: str | None = None
    device: str | None = None
    code_version: str | None = None
    fault: str | None = None
    """Why this process cannot go on although it lives; None while it can."""
    engine: EngineStatus | None = None
    """What a worker's engine does."""
    stages: tuple[StageTime, ...] = ()
    """Where this process's own time goes."""


class Stages:
    """Collects times by stage; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = {}
        self._counts: dict[str, int] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Takes the time of the block; one that ends in an error is not counted."""
        start = time.perf_counter()
        yield
        self.note(stage, time.perf_counter() - start)

    def note(self, stage: str, seconds: float) -> None:
        """Adds one time."""
        with self._lock:
            self._times.setdefault(stage, deque(maxlen=KEPT)).append(seconds)
            self._counts[stage] = self._counts.get(stage, 0) + 1

    def summary(self) -> tuple[StageTime, ...]:
        """Each stage that has run, in the order of their first time."""
        with self._lock:
            newest = {stage: sorted(times) for stage, times in self._times.items()}
            counts = dict(self._counts)
        return tuple(
            StageTime(
                stage=stage,
                count=counts[stage],
                p50_ms=percentile(times, 0.50) * 1000,
                p95_ms=percentile(times, 0.95) * 1000,
            )
            for stage, times in newest.items()
        )


@dataclass
class Progress:
    """Counts what came to an end and what failed at the outermost loop; safe between threads."""

    name: str
    kind: str
    queues: Sequence[Queue] = ()
    model_name: str | None = None
    model_digest: str | None = None
    device: str | None = None
    stages: Stages = field(default_factory=Stages)
    """Where the process's time goes."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _finished: int = 0
    _failures: int = 0
    _last_error: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, count: int = 1) -> None:
        """Jobs were brought to an end."""
        with self._lock:
            self._finished += count

    def fail(self, error: BaseException, where: str | None = None) -> None:
        """The outermost loop caught an error; `where` names the part of the process that it is of."""
        words = f"{type(error).__name__}: {error}"
        with self._lock:
            self._failures += 1
            self._last_error = words if where is None else f"{where}: {words}"

    def heartbeat(self) -> Heartbeat:
        """The heartbeat as of now."""
        with self._lock:
            return Heartbeat(
                name=self.name,
                kind=self.kind,
                moment=datetime.now(UTC),
                started_at=self.started_at,
                finished=self._finished,
                failures=self._failures,
                last_error=self._last_error,
                queues=tuple(self.queues),
                model_name=self.model_name,
                model_digest=self.model_digest,
                device=self.device,
                code_version=code_version(),
                stages=self.stages.summary(),
            )


@cache
def code_version() -> str:
    """The version of the installed package."""
    try:
        return version("lynceus")
    except PackageNotFoundError:
        return UNINSTALLED


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The value at that share of the ordered values, by nearest rank; there must be one."""
    return ordered[math.ceil(fraction * len(ordered)) - 1]
