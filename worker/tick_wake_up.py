"""The result writer's own wake-up: asks for the next tick, at most one at a time."""

import threading
import time

from celery import Celery
from kombu.exceptions import OperationalError

from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import RESULTS_QUEUE, RESULTS_TASK

PATIENCE_SECONDS = 30.0
"""After this long an unanswered ring is taken for lost: Celery's Redis transport may lose a message."""


class TickWakeUp:
    """Rings from the ticker's thread, answered on the main thread."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._rung_at: float | None = None

    def send(self) -> None:
        """Asks for a tick unless one is asked for already. Raises StoreUnavailable."""
        with self._lock:
            now = time.monotonic()
            if self._rung_at is not None and now - self._rung_at < PATIENCE_SECONDS:
                return
            self._rung_at = now
        try:
            # Not retried: the next second brings the next ring.
            self._app.send_task(RESULTS_TASK, queue=RESULTS_QUEUE, retry=False)
        except OperationalError as error:
            self.answered()
            raise StoreUnavailable(f"the broker does not take a message: {error}") from error

    def answered(self) -> None:
        """A tick is over; the next ring asks for another one."""
        with self._lock:
            self._rung_at = None
