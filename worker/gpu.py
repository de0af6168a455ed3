"""Puts a GPU worker together: stores, engine, shift and the thread beside it."""

import os
import sys
import threading
from contextlib import suppress

from engine import Engine, EngineConfig
from services.infra.intake.recipes import RecipeBook
from services.infra.process.errors import StoreError
from services.infra.process.settings import WorkerSettings
from services.infra.stores.frames import RedisFrames
from services.infra.stores.ledger import Ledger, RedisLedger
from services.infra.stores.wake_up import WakeUp
from worker.app import create_app
from worker.context import WorkerContext
from worker.golden import GoldenShelf
from worker.leases import Leases
from worker.process import serve
from worker.progress import Progress
from worker.ticker import Ticker
from worker.versions import code_version
from worker.watchdog import look
from worker.work_loop import WorkLoop
from worker.work_task import register_work

SWITCH_SECONDS = 0.0005
"""The work loop, which only waits for stores, gets its turn this soon after the engine's thread had its own."""

LINGER_SECONDS = 1.0
"""On a line that shows a part a second, no part waits for Celery to bring the ring."""


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
    work_loop = WorkLoop(context)
    register_work(app, work_loop, context.progress)
    ticker = Ticker(
        [
            lambda: context.ledger.heartbeat(look(context, settings.longest_step_seconds)),
            lambda: _wake_again(context),
        ]
    )
    code = serve(app, [queue.value for queue in settings.queues], name, ticker, context.stop)
    with suppress(StoreError):
        # Between two shifts the engine may have work in hand that no shift will come back to.
        work_loop.requeue()
    if context.hung.is_set():
        # Neither the engine's thread nor what its libraries do at exit can be waited for.
        os._exit(code)
    return code


def _context(engine: Engine, settings: WorkerSettings, name: str) -> WorkerContext:
    ledger: Ledger = RedisLedger(settings.ledger_url, lease_ms=settings.lease_ms)
    info, recipes = engine.info, RecipeBook(settings.recipes_dir)
    return WorkerContext(
        consumer=name,
        queues=settings.queues,
        ledger=ledger,
        frames=RedisFrames(settings.frames_url),
        recipes=recipes,
        golden=GoldenShelf(recipes),
        wake_up=WakeUp(settings.ledger_url),
        engine=engine,
        leases=Leases(ledger, name, settings.lease_ms),
        progress=Progress(
            name=name,
            kind="worker",
            code_version=code_version(),
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
    """Rings for queues with something in them: a ring may have been lost, or its worker killed."""
    for queue in context.queues:
        if context.ledger.waiting(queue):
            context.wake_up.send(queue)
