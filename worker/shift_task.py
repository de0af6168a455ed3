"""The Celery task of a GPU worker: a thin door to the shift."""

import structlog
from celery import Celery, Task
from celery.exceptions import WorkerShutdown

from engine import EngineClosed
from services.infra.names import SHIFT_TASK, Lane
from worker.progress import Progress
from worker.shift import Shift

EXIT_ENGINE_FAILED = 70
"""EX_SOFTWARE of sysexits.h; the supervisor starts the worker again, with a fresh engine."""

log = structlog.get_logger()


def register_shift(app: Celery, shift: Shift, progress: Progress) -> Task:
    """`lynceus.shift` on the queues `inspect` and `diagnose`: a ring of the doorbell.

    It carries no work, so it is acknowledged early and a lost one costs a second until the next ring.
    """

    @app.task(name=SHIFT_TASK, bind=True, acks_late=False, ignore_result=True, max_retries=0)
    def run_shift(self: Task) -> None:
        lane = Lane(self.request.delivery_info["routing_key"])
        try:
            shift.run(lane)
        except EngineClosed as error:
            progress.fail(error)
            log.critical("engine_closed", detail=str(error))
            raise WorkerShutdown(EXIT_ENGINE_FAILED) from error
        except Exception as error:
            # The outermost loop: counted, shown in health, and the ring after this one tries again.
            progress.fail(error)
            log.exception("shift_failed")

    return run_shift
