"""The wake-up: a Celery task that wakes a worker for a queue and never carries work."""

from celery import Celery
from kombu.exceptions import OperationalError

from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import WORK_TASK, Queue, wake_up_key
from services.infra.stores.redis_client import connect, typed_errors

TOKEN_KEPT_MS = 5_000
"""After this a wake-up is taken for lost, and the next one sends a new task."""

BROKER_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 15,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
"""How every Celery process of ours talks to Redis; a half-open connection is noticed in seconds."""


class WakeUp:
    """Wakes workers through the Celery queue of the same name, at most one task waiting in each.

    A lost wake-up costs time, never a job.
    """

    def __init__(self, ledger_url: str) -> None:
        self._url = ledger_url
        self._redis = connect(ledger_url, as_text=True)
        self._celery = Celery("lynceus-wake-up", broker=ledger_url, set_as_current=False)
        self._celery.conf.update(
            broker_transport_options=BROKER_OPTIONS,
            task_ignore_result=True,
            task_serializer="json",
            accept_content=["json"],
        )

    def send(self, queue: Queue) -> bool:
        """Ask for a work loop on the queue; False when one is already waiting.

        Raises StoreFull or StoreUnavailable.
        """
        key = wake_up_key(queue)
        with typed_errors(self._url):
            if not self._redis.set(key, "waiting", nx=True, px=TOKEN_KEPT_MS):
                return False
            # A work loop may outlast many tokens. Kombu keeps a queue as a list of its name: while a task
            # stands in it, another would only pile up.
            if self._redis.llen(queue.value):
                return False
        try:
            # Kombu wraps what it meets while connecting, and lets through what it meets while publishing.
            with typed_errors(self._url):
                self._celery.send_task(WORK_TASK, queue=queue.value, retry=False)
        except OperationalError as error:
            # The token stays behind at most TOKEN_KEPT_MS; without Redis it cannot be taken back now.
            raise StoreUnavailable(
                f"the wake-up for {queue.value} was not sent: {error}",
                hint="check that Redis runs and is reachable",
            ) from error
        return True

    def received(self, queue: Queue) -> None:
        """Say that a work loop has begun, so that the next wake-up asks for another one."""
        with typed_errors(self._url):
            self._redis.delete(wake_up_key(queue))
