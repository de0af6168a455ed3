"""The thread that works while the main thread works or sleeps: heartbeats, and the second ring."""

import threading
from collections.abc import Callable, Sequence

import structlog

from services.infra.process.errors import LynceusError

TICK_SECONDS = 1.0

log = structlog.get_logger()


class Ticker:
    """Calls each of its duties once a second until it is stopped; a store that is away is tried again."""

    def __init__(self, duties: Sequence[Callable[[], object]], seconds: float = TICK_SECONDS) -> None:
        self._duties = tuple(duties)
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begins; the first tick comes at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the tick in progress."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for duty in self._duties:
                self._try(duty)
            if self._stopped.wait(self._seconds):
                return

    def _try(self, duty: Callable[[], object]) -> None:
        try:
            duty()
        except LynceusError as error:
            log.warning("tick_failed", code=error.code, detail=error.detail)
