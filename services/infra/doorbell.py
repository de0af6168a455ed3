"""The doorbell: a Celery task that wakes a worker for a lane and never carries work."""

from typing import Protocol

from celery import Celery
from kombu.exceptions import OperationalError

from services.infra.errors import StoreUnavailable
from services.infra.names import SHIFT_TASK, Lane, doorbell_key
from services.infra.redis_client import connect, typed_errors

TOKEN_KEPT_MS = 5_000
"""After this a ring is taken for lost, and the next one sends a new task."""

BROKER_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 15,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
"""How every Celery process of ours talks to Redis; a half-open connection is noticed in seconds."""


class Bell(Protocol):
    """Wakes workers; a lost ring costs time, never a job."""

    def ring(self, lane: Lane) -> bool:
        """Ask for a shift on the lane; False when one is already waiting. Raises StoreUnavailable."""
        ...

    def answer(self, lane: Lane) -> None:
        """Say that a shift has begun, so that the next ring asks for another one."""
        ...


class Doorbell:
    """Rings through Celery's queue of the lane's name, at most one task waiting in each."""

    def __init__(self, ledger_url: str) -> None:
        self._url = ledger_url
        self._redis = connect(ledger_url, as_text=True)
        self._celery = Celery("lynceus-doorbell", broker=ledger_url, set_as_current=False)
        self._celery.conf.update(
            broker_transport_options=BROKER_OPTIONS,
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
        )

    def ring(self, lane: Lane) -> bool:
        """See Bell.ring."""
        key = doorbell_key(lane)
        with typed_errors(self._url):
            if not self._redis.set(key, "waiting", nx=True, px=TOKEN_KEPT_MS):
                return False
            # A shift may outlast many tokens. Kombu keeps a queue as a list of the queue's name: while a task
            # stands in it, another would only pile up.
            if self._redis.llen(lane.value):
                return False
        try:
            # Kombu wraps what it meets while connecting, and lets through what it meets while publishing.
            with typed_errors(self._url):
                self._celery.send_task(SHIFT_TASK, queue=lane.value, retry=False)
        except OperationalError as error:
            # The token stays behind at most TOKEN_KEPT_MS; without Redis it cannot be taken back now.
            raise StoreUnavailable(
                f"the ring for {lane.value} was not sent: {error}",
                mend="check that Redis runs and is reachable",
            ) from error
        return True

    def answer(self, lane: Lane) -> None:
        """See Bell.answer."""
        with typed_errors(self._url):
            self._redis.delete(doorbell_key(lane))


class MemoryDoorbell:
    """Notes who rang, for tests and tools."""

    def __init__(self) -> None:
        self.waiting: set[Lane] = set()

    def ring(self, lane: Lane) -> bool:
        """See Bell.ring."""
        is_new = lane not in self.waiting
        self.waiting.add(lane)
        return is_new

    def answer(self, lane: Lane) -> None:
        """See Bell.answer."""
        self.waiting.discard(lane)
