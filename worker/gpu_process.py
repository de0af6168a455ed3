"""The GPU worker's process: the model, the stores, the work loop behind a Celery task, the heartbeat."""

import os
import sys
import threading
from contextlib import suppress
from functools import partial

import structlog
from celery import Celery, Task
from celery.exceptions import WorkerShutdown

from engine import Engine, EngineClosed, EngineConfig
from services.infra.intake import RecipeBook
from services.infra.process.errors import StoreError
from services.infra.process.heartbeat import Progress
from services.infra.process.names import WORK_TASK, Queue
from services.infra.process.settings import WorkerSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger, Presence
from services.infra.stores.wake_up import WakeUp
from worker.app import Ticker, create_app, serve
from worker.context import WorkerContext
from worker.leases import Leases
from worker.pixels import GoldenImages
from worker.submit import refuse_body
from worker.taught import TaughtParts
from worker.watchdog import look
from worker.work_loop import WorkLoop

SWITCH_SECONDS = 0.0005
"""How soon the work loop, which only waits for stores, gets its turn after the engine's thread."""

LINGER_SECONDS = 1.0
"""On a line that shows a part a second, no part waits for Celery to bring the wake-up."""

EXIT_ENGINE_FAILED = 70
"""EX_SOFTWARE of sysexits.h; the supervisor starts the worker again, with a fresh engine."""

log = structlog.get_logger()


def run_gpu_worker(settings: WorkerSettings, name: str) -> int:
    """Loads the model, then serves the queues until asked to stop; returns the exit code.

    Raises EngineError when the checkpoint or the device cannot be used, RecipeInvalid.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    engine = Engine(EngineConfig(settings.checkpoint, device=settings.device, max_batch=settings.batch_size))
    try:
        return serve_with(engine, settings, name)
    finally:
        engine.close(drain=False)


def serve_with(engine: Engine, settings: WorkerSettings, name: str) -> int:
    """Serves the queues with a loaded engine; returns the exit code. Raises RecipeInvalid.

    Where the engine hangs, the process ends here.
    """
    app = create_app(settings.ledger_url)
    context = _context(engine, settings, name)
    context.taught.prepare()
    work_loop = WorkLoop(context)
    register_work(app, work_loop, context.progress)
    presence = Presence(settings.ledger_url, name)
    ticker = Ticker(
        [
            presence.show,
            lambda: context.ledger.telemetry.heartbeat(look(context, settings.longest_step_seconds)),
            lambda: _wake_again(context),
        ]
    )
    code = serve(
        app,
        [queue.value for queue in settings.queues],
        name,
        ticker,
        context.stop,
        partial(refuse_body, context.ledger),
    )
    with suppress(StoreError):
        # The engine may be at work on what no run of the loop will come back to.
        work_loop.requeue()
        presence.withdraw()
    if context.hung.is_set():
        # Neither the engine's thread nor what its libraries do at exit can be waited for.
        os._exit(code)
    return code


def register_work(app: Celery, work_loop: WorkLoop, progress: Progress) -> Task:
    """`lynceus.work` on the queues `inspect` and `diagnose`: a wake-up.

    It carries no work, so it is acknowledged early and a lost one costs a second until the next one.
    """

    @app.task(name=WORK_TASK, bind=True, acks_late=False, ignore_result=True, max_retries=0)
    def run_work_loop(self: Task) -> None:
        queue = Queue(self.request.delivery_info["routing_key"])
        try:
            work_loop.run(queue)
        except EngineClosed as error:
            progress.fail(error)
            log.critical("engine_closed", detail=str(error))
            raise WorkerShutdown(EXIT_ENGINE_FAILED) from error
        except Exception as error:
            # The outermost loop: counted, shown in health, and the next wake-up tries again.
            progress.fail(error)
            log.exception("work_loop_failed")

    return run_work_loop


def _context(engine: Engine, settings: WorkerSettings, name: str) -> WorkerContext:
    ledger: Ledger = Ledger(settings.ledger_url, lease_ms=settings.lease_ms)
    info, recipes = engine.info, RecipeBook(settings.recipes_dir)
    return WorkerContext(
        consumer=name,
        queues=settings.queues,
        ledger=ledger,
        frames=FrameStore(settings.frames_url),
        recipes=recipes,
        golden=GoldenImages(recipes),
        taught=TaughtParts(recipes),
        wake_up=WakeUp(settings.ledger_url),
        engine=engine,
        leases=Leases(ledger.jobs, name, settings.lease_ms),
        progress=Progress(
            name=name,
            kind="worker",
            queues=settings.queues,
            model_name=info.model_name,
            model_digest=info.checkpoint_digest,
            device=info.device,
        ),
        stop=threading.Event(),
        reports_at_once=settings.reports_at_once,
        max_deliveries=settings.max_deliveries,
        linger_seconds=LINGER_SECONDS,
    )


def _wake_again(context: WorkerContext) -> None:
    """Sends for queues with something in them: a wake-up may have been lost, or its worker killed."""
    for queue in context.queues:
        if context.ledger.jobs.waiting(queue):
            context.wake_up.send(queue)
