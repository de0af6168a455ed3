"""What the supervisor promises: nothing outlives it, and what should stay is started again."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli.local.processes import (
    ManagedProcess,
    Supervisor,
    deferred_interrupts,
    interruptible,
    log_tail,
)

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
WITH_CHILD = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(child.pid, flush=True); time.sleep(600)"
)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


def process(directory: Path, name: str, program: str) -> ManagedProcess:
    """A Python program under the supervisor's care, with its log in `directory`."""
    return ManagedProcess(
        name, (sys.executable, "-c", program), dict(os.environ), directory / f"{name}.log", directory
    )


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for_output(service: ManagedProcess, wait_until: Callable[..., object]) -> str:
    """The first line a process wrote to its log."""
    wait_until(lambda: service.log_path.exists() and service.log_path.read_text(encoding="utf-8").strip())
    return service.log_path.read_text(encoding="utf-8").strip()


def test_leaving_the_block_ends_what_it_started_and_what_that_started(
    tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    """A grandchild in the process group ends too, although nobody ever told us its id."""
    with Supervisor() as supervisor:
        parent = process(tmp_path, "parent", WITH_CHILD)
        supervisor.start(parent)
        grandchild = int(wait_for_output(parent, wait_until))
        assert is_alive(grandchild)

    assert not parent.is_running
    wait_until(lambda: not is_alive(grandchild))


def test_a_process_deaf_to_sigterm_is_killed(
    tmp_path: Path, wait_until: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the grace period SIGKILL follows."""
    monkeypatch.setattr("services.cli.local.processes.STOP_SECONDS", 0.2)
    with Supervisor() as supervisor:
        deaf = process(tmp_path, "deaf", DEAF)
        supervisor.start(deaf)
        wait_for_output(deaf, wait_until)

    assert not deaf.is_running


def test_an_error_inside_the_block_ends_everything(tmp_path: Path) -> None:
    """The error comes out and no process stays."""
    sleeper = process(tmp_path, "sleeper", SLEEPER)

    def fail() -> None:
        with Supervisor() as supervisor:
            supervisor.start(sleeper)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()

    assert not sleeper.is_running


def test_what_ended_is_started_again_with_growing_delay(
    tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    """One second, then two: a process that ends at once does not spin."""
    now = 0.0
    with Supervisor(clock=lambda: now) as supervisor:
        supervisor.start(process(tmp_path, "brief", "pass"))
        restarted_at = []
        for moment in range(8):
            now = float(moment)
            wait_until(supervisor.ended)
            if supervisor.restart_ended():
                restarted_at.append(now)

    assert restarted_at == [1.0, 4.0]


def test_a_long_life_forgives_earlier_deaths(tmp_path: Path, wait_until: Callable[..., object]) -> None:
    """After a healthy minute the delay is one second again."""
    now = 0.0
    with Supervisor(clock=lambda: now) as supervisor:
        supervisor.start(process(tmp_path, "brief", "pass"))
        for moment in (0.0, 1.0, 2.0, 4.0, 100.0, 101.0):
            now = moment
            wait_until(supervisor.ended)
            restarted = supervisor.restart_ended()

        assert restarted
        assert supervisor.restarts("brief") == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_ending_signal_is_an_interrupt(number: signal.Signals) -> None:
    """A polite kill and a closed terminal run the same clean-up as Ctrl-C."""
    with pytest.raises(KeyboardInterrupt, match=number.name), interruptible():
        signal.raise_signal(number)


def test_a_second_signal_does_not_cut_the_clean_up_short() -> None:
    """Whoever kills a whole group sends it twice to some: processes would be left behind."""
    steps = []

    def interrupted_twice() -> None:
        with interruptible():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGTERM)
                steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()

    assert steps == ["cleaned up"]


def test_an_interrupt_during_a_start_comes_after_it() -> None:
    """The step inside runs to its end, and the interrupt is not lost."""
    steps = []

    def interrupted() -> None:
        with deferred_interrupts():
            signal.raise_signal(signal.SIGINT)
            steps.append("finished")

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert steps == ["finished"]


def test_the_log_tail_is_there_without_a_log(tmp_path: Path) -> None:
    """A process that never wrote still has something to show in an error."""
    assert log_tail(tmp_path / "none.log") == "(no log was written)"
