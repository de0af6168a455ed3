"""The Celery task of a GPU worker: a thin door to the work loop."""

import structlog
from celery import Celery, Task
from celery.exceptions import WorkerShutdown

from engine import EngineClosed
from services.infra.process.names import WORK_TASK, Queue
from worker.progress import Progress
from worker.work_loop import WorkLoop

EXIT_ENGINE_FAILED = 70
"""EX_SOFTWARE of sysexits.h; the supervisor starts the worker again, with a fresh engine."""

log = structlog.get_logger()


def register_work(app: Celery, work_loop: WorkLoop, progress: Progress) -> Task:
    """`lynceus.work` on the queues `inspect` and `diagnose`: a ring of the wake-up.

    It carries no work, so it is acknowledged early and a lost one costs a second until the next ring.
    """

    @app.task(name=WORK_TASK, bind=True, acks_late=False, ignore_result=True, max_retries=0)
    def run_shift(self: Task) -> None:
        queue = Queue(self.request.delivery_info["routing_key"])
        try:
            work_loop.run(queue)
        except EngineClosed as error:
            progress.fail(error)
            log.critical("engine_closed", detail=str(error))
            raise WorkerShutdown(EXIT_ENGINE_FAILED) from error
        except Exception as error:
            # The outermost loop: counted, shown in health, and the ring after this one tries again.
            progress.fail(error)
            log.exception("shift_failed")

    return run_shift
