"""The clocks of the measurements, the GPU's on a device that is only simulated."""

import pytest
import torch

from bench.gpu.clock import CYCLES, WARM_UP, EventClock


class Simulated:
    """A host and a device, each with its own time in seconds; the device does things in their order."""

    def __init__(self) -> None:
        self.host = self.device = 0.0

    def queue(self, computing: float, launching: float = 0.0) -> None:
        """The host launches work, which begins when the device is free."""
        self.host += launching
        self.device = max(self.device, self.host) + computing

    def synchronize(self) -> None:
        """The host waits."""
        self.host = max(self.host, self.device)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """In the place of torch's functions."""
    made = Simulated()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing, "a stamp without a time"
            self.at = float("inf")

        def record(self) -> None:
            made.queue(0.0)
            self.at = made.device

        def query(self) -> bool:
            return self.at <= made.host

        def elapsed_time(self, later: "Event") -> float:
            assert later.query(), "the host did not wait for the stamp"
            return (later.at - self.at) * 1e3

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", made.synchronize)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: made.queue(cycles / CYCLES))
    return made


def test_a_short_kernel_is_timed_without_its_launch(simulated: Simulated) -> None:
    """Five microseconds of work that take the host fifty to launch, sixteen times in a row."""

    def work(_: int) -> None:
        for _ in range(16):
            simulated.queue(5e-6, launching=50e-6)

    busy, waited = EventClock().busy(work, 3), EventClock().spread(work, 3)

    assert busy.of_each(16).median == pytest.approx(5e-6)
    assert waited.of_each(16).median == pytest.approx(50e-6, rel=0.1)


def test_what_comes_before_a_run_is_not_timed(simulated: Simulated) -> None:
    """It is done each time, in the warm-up too."""
    done: list[int] = []

    def before(number: int) -> None:
        done.append(number)
        simulated.queue(1.0)

    busy = EventClock().busy(lambda _: simulated.queue(2e-3), 2, before)

    assert busy.median == pytest.approx(2e-3)
    assert len(done) >= WARM_UP + 2


def test_work_that_waits_for_the_device_is_not_taken_for_computing(simulated: Simulated) -> None:
    """It cannot be queued before it begins, and no figure is better than a wrong one."""

    def work(_: int) -> None:
        simulated.queue(1e-6)
        simulated.synchronize()

    with pytest.raises(RuntimeError, match="waits for the device"):
        EventClock().busy(work, 1)
