"""The Celery tasks of the clerk: thin doors to plain objects."""

from typing import Any

import structlog
from celery import Celery, Task

from services.infra.errors import StoreError
from services.infra.names import CLERK_TASK, SUBMIT_TASK
from services.infra.submission import Submission
from worker.clerk import Clerk
from worker.clerk_bell import ClerkBell
from worker.submit import receive

log = structlog.get_logger()


def register_clerk(app: Celery, clerk: Clerk, bell: ClerkBell) -> Task:
    """`lynceus.clerk` on the queue `clerk`: stores what waits."""

    @app.task(name=CLERK_TASK, acks_late=False, ignore_result=True, max_retries=0)
    def run_clerk() -> None:
        try:
            clerk.tick()
        except Exception as error:
            # The outermost loop: counted, shown in health, and the next tick tries again.
            clerk.progress.fail(error)
            log.exception("clerk_failed")
        finally:
            bell.answer()

    return run_clerk


def register_submit(app: Celery, submission: Submission) -> Task:
    """`lynceus.submit` on the queue `clerk`: another program's part.

    It is acknowledged late and is idempotent by its `result_id`: a clerk that dies over it, or a store that
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
