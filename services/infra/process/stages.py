"""How long the stages of a process's work take, over the newest of each."""

import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from schemas.base import Message

KEPT = 512
"""Newest times of a stage that the percentiles are taken over."""


class StageTime(Message):
    """One stage: how often it ran since the start, and percentiles of its newest times by nearest rank."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float


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


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """The value at that share of the ordered values, by nearest rank; there must be one."""
    return ordered[math.ceil(fraction * len(ordered)) - 1]
