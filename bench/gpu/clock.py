"""Times work on a GPU by its own events, and on a CPU by the clock on the wall."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from bench.gpu.rows import Spread

Work = Callable[[int], object]
"""Something to be timed; it is told which time it is, so that it can use other data each time."""

WARM_UP = 3
CYCLES = 2.5e9
"""No GPU's clock ticks as often in a second."""

LONGEST_HOLD = 0.5
"""Seconds; work that takes longer to queue is not one that a GPU would wait for."""


class Clock(ABC):
    """Runs work several times and says how long it took."""

    name: str
    """What measured, for people."""

    def spread(self, work: Work, repeats: int) -> Spread:
        """Seconds that somebody waits for each run, the host's part included; the first do not count."""
        times = [self.waited(work, number) for number in range(WARM_UP + repeats)]
        return Spread.of(times[WARM_UP:])

    def busy(self, work: Work, repeats: int, before: Work | None = None) -> Spread:
        """Seconds that the device computes in each run, without the host's part; `before` each, untimed.

        The work may read nothing back from the device.
        """
        for number in range(WARM_UP):
            if before is not None:
                before(number)
            self.waited(work, number)
        return Spread.of(self.computed(work, repeats, before))

    @abstractmethod
    def waited(self, work: Work, number: int) -> float:
        """Seconds from when the device is idle until it is idle again."""

    @abstractmethod
    def computed(self, work: Work, repeats: int, before: Work | None) -> list[float]:
        """Seconds that the device computes in each run."""


class EventClock(Clock):
    """The device's own time stamps before and after each run."""

    name = "CUDA events"

    def waited(self, work: Work, number: int) -> float:
        """As above."""
        before, after = self._stamps()
        torch.cuda.synchronize()
        before.record()
        work(number)
        after.record()
        torch.cuda.synchronize()
        return _seconds(before, after)

    def computed(self, work: Work, repeats: int, before: Work | None) -> list[float]:
        """As above: the device is held until all is queued, so that it never waits for the host."""
        times: list[float] = []
        hold = 1e-4
        while len(times) < repeats:
            if before is not None:
                before(len(times))
            seconds, in_time = self._held(work, len(times), hold)
            if in_time:
                times.append(seconds)
                continue
            hold *= 2
            if hold > LONGEST_HOLD:
                raise RuntimeError(f"the work takes over {LONGEST_HOLD} s to queue, or waits for the device")
        return times

    def _held(self, work: Work, number: int, hold: float) -> tuple[float, bool]:
        """Seconds of a run, and whether all of it was queued before it began."""
        before, after = self._stamps()
        torch.cuda.synchronize()
        torch.cuda._sleep(int(hold * CYCLES))  # noqa: SLF001 - it has no public name
        before.record()
        work(number)
        after.record()
        in_time = not before.query()
        torch.cuda.synchronize()
        return _seconds(before, after), in_time

    def _stamps(self) -> tuple[torch.cuda.Event, torch.cuda.Event]:
        return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def _seconds(before: torch.cuda.Event, after: torch.cuda.Event) -> float:
    milliseconds: float = before.elapsed_time(after)
    return milliseconds / 1e3


class WallClock(Clock):
    """The time that passes; for trying the program without a GPU."""

    name = "wall clock"

    def waited(self, work: Work, number: int) -> float:
        """As above."""
        before = time.perf_counter()
        work(number)
        return time.perf_counter() - before

    def computed(self, work: Work, repeats: int, before: Work | None) -> list[float]:
        """As above; the processor is host and device."""
        times = []
        for number in range(repeats):
            if before is not None:
                before(number)
            times.append(self.waited(work, number))
        return times


def clock_of(device: torch.device) -> Clock:
    """The clock that suits the device."""
    return EventClock() if device.type == "cuda" else WallClock()
