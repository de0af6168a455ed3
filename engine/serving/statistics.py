"""Counts and times of the engine, for whoever asks."""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.errors import EngineError
from engine.serving.requests import Completion, PriorityStats, Scores
from engine.serving.scheduler import Step

RECENT = 512
"""Steps and requests whose times are remembered."""

Count = Literal[
    "finished", "failed", "cancelled", "prompt_tokens", "reused_tokens", "completion_tokens", "preemptions"
]
"""The counts of PriorityStats."""

Outcome = Scores | Completion | EngineError | None
"""What a request ends with; None where its caller has cancelled it."""


class QueueStatistics:
    """Of the requests of one priority; written by the engine's thread under the loop's lock."""

    def __init__(self) -> None:
        self._counts: Counter[Count] = Counter()
        self._waits: deque[float] = deque(maxlen=RECENT)

    def preempted(self) -> None:
        """Count a request whose blocks were taken."""
        self._counts["preemptions"] += 1

    def ended(self, outcome: Outcome, reused: int) -> None:
        """Count a request that is done with, `reused` of whose tokens needed no computing."""
        if outcome is None:
            self._counts["cancelled"] += 1
        elif isinstance(outcome, EngineError):
            self._counts["failed"] += 1
        else:
            self._counts["finished"] += 1
            self._counts["prompt_tokens"] += outcome.prompt_tokens
            self._counts["reused_tokens"] += reused
            if isinstance(outcome, Completion):
                self._counts["completion_tokens"] += outcome.completion_tokens

    def waited(self, seconds: float) -> None:
        """Note how long a request waited for its first work."""
        self._waits.append(seconds)

    def read(self, waiting: int, running: int) -> PriorityStats:
        """All of it, with what is here now."""
        wait_p50, wait_p95 = percentiles(self._waits)
        return PriorityStats(
            waiting=waiting,
            running=running,
            wait_p50=wait_p50,
            wait_p95=wait_p95,
            finished=self._counts["finished"],
            failed=self._counts["failed"],
            cancelled=self._counts["cancelled"],
            prompt_tokens=self._counts["prompt_tokens"],
            reused_tokens=self._counts["reused_tokens"],
            completion_tokens=self._counts["completion_tokens"],
            preemptions=self._counts["preemptions"],
        )


@dataclass(frozen=True)
class StepTimes:
    """As EngineStats has them."""

    steps: int
    p50: float
    p95: float
    age: float
    batch_mean: float
    tokens_per_second: float


class StepStatistics:
    """Of the steps; written by the engine's thread, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, int, int]] = deque(maxlen=RECENT)
        self._steps = 0
        self._began: float | None = None

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Time it while it is carried out."""
        self._began = began = time.monotonic()
        yield
        requests = len(step.prefill) + len(step.decode)
        tokens = sum(step.prefill.values()) + len(step.decode)
        with self._lock:
            self._began = None
            self._steps += 1
            self._recent.append((time.monotonic() - began, requests, tokens))

    def read(self) -> StepTimes:
        """All of it."""
        with self._lock:
            began, steps, recent = self._began, self._steps, list(self._recent)
        seconds = [step[0] for step in recent]
        p50, p95 = percentiles(seconds)
        return StepTimes(
            steps=steps,
            p50=p50,
            p95=p95,
            age=0.0 if began is None else time.monotonic() - began,
            batch_mean=sum(step[1] for step in recent) / max(1, len(recent)),
            tokens_per_second=sum(step[2] for step in recent) / max(sum(seconds), 1e-9),
        )


def percentiles(seconds: Iterable[float]) -> tuple[float, float]:
    """The median and the 95th percentile; 0 of nothing."""
    values = list(seconds)
    if not values:
        return 0.0, 0.0
    p50, p95 = np.percentile(values, (50, 95))
    return float(p50), float(p95)
