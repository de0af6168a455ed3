"""The one owner of child processes: starts them in groups of their own, restarts them, and ends them all."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol, Self

STOP_SECONDS = 20.0
"""What a process gets between SIGTERM and SIGKILL; longer than one batch or one step of a report."""

HEALTHY_SECONDS = 60.0
"""A process that lived this long before it ended starts again without delay."""

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 30.0
LOG_TAIL_LINES = 12


class Service(Protocol):
    """Something that runs beside us and can be started again."""

    @property
    def name(self) -> str:
        """What people call it, in the status line and in errors."""

    @property
    def log_path(self) -> Path:
        """Where it writes what it does."""

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""

    def start(self) -> None:
        """Starts it; starting twice changes nothing."""

    def stop(self) -> None:
        """Returns when nothing of it runs any more."""


class ManagedProcess:
    """One command as a process group, run in `directory`; its output is appended to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        directory: Path,
    ) -> None:
        self._name = name
        self._command = tuple(command)
        self._environment = dict(environment)
        self._log_path = log_path
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """What people call it, in the status line and in errors."""
        return self._name

    @property
    def log_path(self) -> Path:
        """Where its standard output and standard error go."""
        return self._log_path

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id, which is its group's id as well, once it has been started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the command; starting twice changes nothing."""
        if self.is_running:
            return
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            # Its own session: Ctrl-C must reach only us, so that we decide the order in which things end.
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Asks the first process to end, waits for it, then kills whatever is left of the group."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@dataclass
class _Restarts:
    """How often one service had to be started again, and when it may be next."""

    count: int = 0
    delay_seconds: float = FIRST_DELAY_SECONDS
    started_at: float = 0.0
    due_at: float | None = None


class Supervisor:
    """Starts services in the order given, keeps them alive when asked to, and ends them in reverse.

    `with Supervisor() as supervisor:` guarantees the end, whatever happens inside.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._services: list[Service] = []
        self._restarts: dict[str, _Restarts] = {}

    def start(self, service: Service) -> None:
        """Starts one service and owns it from now on."""
        self._services.append(service)
        self._restarts[service.name] = _Restarts(started_at=self._clock())
        # An interrupt between the fork and the note of its id would leave a process that nobody owns.
        with deferred_interrupts():
            service.start()

    @property
    def services(self) -> tuple[Service, ...]:
        """What this supervisor owns, in the order of their start."""
        return tuple(self._services)

    def ended(self) -> list[Service]:
        """The services whose process has ended by itself."""
        return [service for service in self._services if not service.is_running]

    def restarts(self, name: str) -> int:
        """How often the named service was started again."""
        return self._restarts[name].count

    def restart_ended(self) -> list[Service]:
        """Starts again what has ended and whose delay is over, and returns it; call it about once a second.

        The delay doubles from one second to thirty at each early end; a minute of health resets it.
        """
        started = [service for service in self.ended() if self._is_due(service)]
        for service in started:
            service.start()
        return started

    def _is_due(self, service: Service) -> bool:
        now = self._clock()
        state = self._restarts[service.name]
        if state.due_at is None:
            if now - state.started_at >= HEALTHY_SECONDS:
                state.delay_seconds = FIRST_DELAY_SECONDS
            state.due_at = now + state.delay_seconds
            state.delay_seconds = min(state.delay_seconds * 2, LONGEST_DELAY_SECONDS)
        if now < state.due_at:
            return False
        state.count += 1
        state.started_at = now
        state.due_at = None
        return True

    def stop(self) -> None:
        """Ends everything, the last started first; an interrupt meanwhile does not cut it short."""
        # The stack calls in reverse, and goes on with the others when one stop fails.
        with deferred_interrupts(), contextlib.ExitStack() as stops:
            for service in self._services:
                stops.callback(service.stop)
            self._services.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite kill, and a closed terminal: all three end a command in the same way."""


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first ending signal raises KeyboardInterrupt, so that clean-up runs; others do nothing."""
    is_ending = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            raise KeyboardInterrupt(signal.Signals(number).name)

    with _handled(interrupt):
        yield


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Inside, an ending signal waits; KeyboardInterrupt comes at the end. The time inside must be bounded."""
    waiting: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        waiting.append(signal.Signals(number).name)

    with _handled(note):
        yield
    if waiting:
        raise KeyboardInterrupt(waiting[0])


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, or a word that it is empty."""
    if not path.exists():
        return "(no log was written)"
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(text[-lines:]) or "(the log is empty)"
