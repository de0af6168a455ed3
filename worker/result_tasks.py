"""The Celery tasks of the result writer: thin doors to plain objects."""

from typing import Any

import structlog
from celery import Celery, Task

from services.infra.intake.submission import Submission
from services.infra.process.errors import StoreError
from services.infra.process.names import RESULTS_TASK, SUBMIT_TASK
from worker.result_writer import ResultWriter
from worker.submit import receive
from worker.tick_wake_up import TickWakeUp

log = structlog.get_logger()


def register_results(app: Celery, result_writer: ResultWriter, wake_up: TickWakeUp) -> Task:
    """`lynceus.results` on the queue `results`: stores what waits."""

    @app.task(name=RESULTS_TASK, acks_late=False, ignore_result=True, max_retries=0)
    def run_result_writer() -> None:
        try:
            result_writer.tick()
        except Exception as error:
            # The outermost loop: counted, shown in health, and the next tick tries again.
            result_writer.progress.fail(error)
            log.exception("result_writer_failed")
        finally:
            wake_up.answered()

    return run_result_writer


def register_submit(app: Celery, submission: Submission) -> Task:
    """`lynceus.submit` on the queue `results`: another program's part.

    It is acknowledged late and is idempotent by its `result_id`: a result writer that dies over it, or a store that
    is away, only makes it come again.
    """

    @app.task(
        name=SUBMIT_TASK,
        bind=True,
        acks_late=True,
        reject_on_worker_lost=True,
        ignore_result=True,
        max_retries=None,
    )
    def run_submit(self: Task, message: dict[str, Any]) -> None:
        try:
            receive(message, submission)
        except StoreError as error:
            raise self.retry(exc=error, countdown=error.retry_after) from error

    return run_submit
