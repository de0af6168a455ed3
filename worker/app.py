"""The Celery app, which carries wake-ups and never work, and how a process serves it."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import structlog
from celery import Celery, signals
from celery.worker.consumer import Consumer

from services.infra.process.errors import LynceusError
from services.infra.stores.wake_up import BROKER_OPTIONS

TICK_SECONDS = 1.0

VISIBILITY_TIMEOUT_SECONDS = 3600
"""Longer than any run of a task; only submissions are acknowledged late, and each takes milliseconds."""

MALFORMED = (ValueError, TypeError, LookupError, AttributeError)
"""What Celery raises over a message whose parts are not what it expects."""

Received: TypeAlias = Any
"""A message as kombu hands it over, which has no types of its own."""

Refuse: TypeAlias = Callable[[str, object], None]
"""Takes what is wrong with a message, and its body."""

log = structlog.get_logger()


def create_app(broker_url: str) -> Celery:
    """An app on the ledger's Redis.

    Remote control stays off: with it a worker may exit or go deaf when Redis restarts. Only JSON is read, so
    that a message cannot carry code. A worker waits for its broker for ever. It may hold a second message:
    one whose acknowledgement met a broken connection stays counted, and with a limit of one the worker would
    never ask for another, nor notice that the connection is gone.
    """
    app = Celery("lynceus", broker=broker_url, set_as_current=False)
    app.conf.update(
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=2,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            **BROKER_OPTIONS,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
    )
    return app


class Ticker:
    """Calls each of its duties once a second in a thread of its own; a store that is away is tried again."""

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


def consumer_class(refuse: Refuse) -> type[Consumer]:
    """Celery's consumer, which hands what is no task of ours to `refuse`; its own one drops it or ends."""

    class RefusingConsumer(Consumer):  # type: ignore[misc]
        def create_task_handler(self, **options: object) -> Callable[[Received], None]:
            handle = super().create_task_handler(**options)

            def on_task_received(message: Received) -> None:
                try:
                    handle(message)
                except MALFORMED as error:
                    self.on_decode_error(message, error)

            return on_task_received

        def on_decode_error(self, message: Received, exc: Exception) -> None:
            refuse(f"the message is no task: {type(exc).__name__}: {exc}", message.body)
            message.reject_log_error(log, self.connection_errors)

        def on_unknown_message(self, _body: object, message: Received) -> None:
            self.on_decode_error(message, ValueError("it names no task"))

        def on_unknown_task(self, _body: object, message: Received, exc: Exception) -> None:
            self.on_decode_error(message, ValueError(f"there is no task {exc}"))

        def on_invalid_task(self, _body: object, message: Received, exc: Exception) -> None:
            self.on_decode_error(message, exc)

    return RefusingConsumer


def serve(
    app: Celery,
    queues: Sequence[str],
    name: str,
    ticker: Ticker,
    stop: threading.Event,
    refuse: Refuse,
) -> int:
    """Serves the queues until SIGTERM or Ctrl-C, and returns the exit code.

    A message that is no task of ours goes to `refuse`. At the signal `stop` is set: the step in progress is
    finished, and what is not begun is requeued.
    """

    def ask_to_stop(**_: object) -> None:
        stop.set()

    signals.worker_shutting_down.connect(ask_to_stop)
    worker = app.Worker(
        hostname=name,
        queues=list(queues),
        pool="solo",
        consumer_cls=consumer_class(refuse),
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    ticker.start()
    try:
        worker.start()
    finally:
        stop.set()
        ticker.stop()
    return int(worker.exitcode or 0)
