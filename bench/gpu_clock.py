"""Times work on a GPU by its own events, and on a CPU by the clock on the wall."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise

import torch

from bench.gpu_rows import Spread

Work = Callable[[int], object]
"""Something to be timed; it is told which time it is, so that it can use other data each time."""

WARM_UP = 3


class Clock(ABC):
    """Runs work several times and says how long it took."""

    name: str
    """What measured, for people."""

    def spread(self, work: Work, repeats: int) -> Spread:
        """Times of that many runs, in seconds, after a few that do not count."""
        for number in range(WARM_UP):
            work(number)
        return Spread.of(self.times(work, repeats))

    @abstractmethod
    def times(self, work: Work, repeats: int) -> list[float]:
        """Seconds of each run."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until the device has nothing left to do."""


class EventClock(Clock):
    """The device's own time stamps before and after each run; the host goes on meanwhile."""

    name = "CUDA events"

    def times(self, work: Work, repeats: int) -> list[float]:
        """As above."""
        stamps = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        self.finish()
        stamps[0].record()
        for number, stamp in enumerate(stamps[1:]):
            work(number)
            stamp.record()
        self.finish()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(stamps)]

    def finish(self) -> None:
        """As above."""
        torch.cuda.synchronize()


class WallClock(Clock):
    """The time that passes; for trying the program without a GPU."""

    name = "wall clock"

    def times(self, work: Work, repeats: int) -> list[float]:
        """As above."""
        stamps = [time.perf_counter()]
        for number in range(repeats):
            work(number)
            stamps.append(time.perf_counter())
        return [after - before for before, after in pairwise(stamps)]

    def finish(self) -> None:
        """Nothing is ever left."""


def clock_of(device: torch.device) -> Clock:
    """The clock that suits the device."""
    return EventClock() if device.type == "cuda" else WallClock()
