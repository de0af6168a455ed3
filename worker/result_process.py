"""The result writer's process: stores, database, archive, its Celery tasks. No engine, no torch."""

import threading
import time
from functools import partial
from typing import Any

import structlog
from celery import Celery, Task
from kombu.exceptions import OperationalError

from services.infra.intake import RecipeBook
from services.infra.intake.submission import Submission
from services.infra.process.errors import StoreError, StoreUnavailable
from services.infra.process.heartbeat import Progress
from services.infra.process.names import RESULTS_QUEUE, RESULTS_TASK, SUBMIT_TASK
from services.infra.process.settings import ResultWriterSettings
from services.infra.stores.archive import Archive
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger, Presence
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp
from worker.app import Ticker, create_app, serve
from worker.result_writer import ResultWriter
from worker.submit import receive, refuse_body, task_message

PATIENCE_SECONDS = 30.0
"""After this long a wake-up is taken for lost: Celery's Redis transport may lose a message."""

log = structlog.get_logger()


def run_result_writer(settings: ResultWriterSettings, name: str) -> int:
    """Serves the queue `results` until asked to stop; returns the exit code. Raises RecipeInvalid."""
    app = create_app(settings.ledger_url)
    ledger = Ledger(settings.ledger_url, lease_ms=settings.lease_ms)
    frames = FrameStore(settings.frames_url)
    recipes = RecipeBook(settings.recipes_dir)
    progress = Progress(name=name, kind="result-writer")
    result_writer = ResultWriter(
        consumer=name,
        ledger=ledger,
        frames=frames,
        results=ResultStore(settings.database_url),
        recipes=recipes,
        archive=Archive(settings.archive_dir),
        progress=progress,
        batch_size=settings.results_batch,
    )
    wake_up = ResultsWakeUp(app)
    register_results(app, result_writer, wake_up)
    register_submit(app, Submission(ledger, frames, WakeUp(settings.ledger_url), recipes))
    presence = Presence(settings.ledger_url, name)
    ticker = Ticker([presence.show, lambda: ledger.telemetry.heartbeat(progress.heartbeat()), wake_up.send])
    return serve(app, [RESULTS_QUEUE], name, ticker, threading.Event(), partial(refuse_body, ledger))


class ResultsWakeUp:
    """The result writer's own wake-up, at most one at a time; sent and received on different threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._sent_at: float | None = None

    def send(self) -> None:
        """Asks for a tick unless one is asked for already. Raises StoreUnavailable."""
        with self._lock:
            now = time.monotonic()
            if self._sent_at is not None and now - self._sent_at < PATIENCE_SECONDS:
                return
            self._sent_at = now
        try:
            # Not retried: the next second brings the next one.
            self._app.send_task(RESULTS_TASK, queue=RESULTS_QUEUE, retry=False)
        except OperationalError as error:
            self.received()
            raise StoreUnavailable(f"the broker does not take a message: {error}") from error

    def received(self) -> None:
        """A tick is over; the next `send` asks for another one."""
        with self._lock:
            self._sent_at = None


def register_results(app: Celery, result_writer: ResultWriter, wake_up: ResultsWakeUp) -> Task:
    """`lynceus.results` on the queue `results`: stores what waits."""

    @app.task(name=RESULTS_TASK, acks_late=False, ignore_result=True, max_retries=0)
    def run_result_writer_once() -> None:
        try:
            result_writer.tick()
        except Exception as error:
            # The outermost loop: counted, shown in health, and the next tick tries again.
            result_writer.progress.fail(error)
            log.exception("result_writer_failed")
        finally:
            wake_up.received()

    return run_result_writer_once


def register_submit(app: Celery, submission: Submission) -> Task:
    """`lynceus.submit` on the queue `results`: another program's part.

    It is acknowledged late and is idempotent by its `result_id`: a result writer that dies over it, or a
    store that is away, only makes it come again.
    """

    @app.task(
        name=SUBMIT_TASK,
        bind=True,
        acks_late=True,
        reject_on_worker_lost=True,
        ignore_result=True,
        max_retries=None,
    )
    def run_submit(self: Task, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        try:
            receive(task_message(arguments, named), submission)
        except StoreError as error:
            raise self.retry(exc=error, countdown=error.retry_after) from error

    return run_submit
