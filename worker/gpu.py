"""Puts a GPU worker together: stores, engine, shift and the thread beside it."""

import os
import sys
import threading
from contextlib import suppress

from engine import Engine, EngineConfig
from services.infra.doorbell import Doorbell
from services.infra.errors import StoreError
from services.infra.frames import RedisFrames
from services.infra.ledger import Ledger, RedisLedger
from services.infra.recipes import RecipeBook
from services.infra.settings import WorkerSettings
from worker.app import create_app
from worker.claims import Claims
from worker.golden import GoldenShelf
from worker.process import serve
from worker.progress import Progress
from worker.shift import Shift
from worker.shift_task import register_shift
from worker.station import Station
from worker.ticker import Ticker
from worker.versions import code_version
from worker.watchdog import look

SWITCH_SECONDS = 0.0005
"""The shift, which only waits for stores, gets its turn this soon after the engine's thread had its own."""

LINGER_SECONDS = 1.0
"""On a line that shows a part a second, no part waits for Celery to bring the ring."""


def run_gpu_worker(settings: WorkerSettings, name: str) -> int:
    """Loads the model, then serves the lanes until asked to stop; returns the exit code.

    Raises EngineError when the checkpoint or the device cannot be used, RecipeInvalid.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    engine = Engine(EngineConfig(settings.checkpoint, device=settings.device, max_batch=settings.batch_size))
    try:
        return serve_with(engine, settings, name)
    finally:
        engine.close(drain=False)


def serve_with(engine: Engine, settings: WorkerSettings, name: str) -> int:
    """Serves the lanes with a loaded engine; returns the exit code. Raises RecipeInvalid.

    Where the engine hangs, the process ends here.
    """
    app = create_app(settings.ledger_url)
    station = _station(engine, settings, name)
    shift = Shift(station)
    register_shift(app, shift, station.progress)
    ticker = Ticker(
        [
            lambda: station.ledger.heartbeat(look(station, settings.longest_step_seconds)),
            lambda: _ring_again(station),
        ]
    )
    code = serve(app, [lane.value for lane in settings.lanes], name, ticker, station.stop)
    with suppress(StoreError):
        # Between two shifts the engine may have work in hand that no shift will come back to.
        shift.hand_back()
    if station.hung.is_set():
        # Neither the engine's thread nor what its libraries do at exit can be waited for.
        os._exit(code)
    return code


def _station(engine: Engine, settings: WorkerSettings, name: str) -> Station:
    ledger: Ledger = RedisLedger(settings.ledger_url, claim_idle_ms=settings.claim_idle_ms)
    info, recipes = engine.info, RecipeBook(settings.recipes_dir)
    return Station(
        consumer=name,
        lanes=settings.lanes,
        ledger=ledger,
        frames=RedisFrames(settings.frames_url),
        recipes=recipes,
        golden=GoldenShelf(recipes),
        bell=Doorbell(settings.ledger_url),
        engine=engine,
        claims=Claims(ledger, name, settings.claim_idle_ms),
        progress=Progress(
            name=name,
            kind="worker",
            code_version=code_version(),
            lanes=settings.lanes,
            model_name=info.model_name,
            model_digest=info.checkpoint_digest,
            device=info.device,
        ),
        stop=threading.Event(),
        reports_at_once=settings.reports_at_once,
        max_deliveries=settings.max_deliveries,
        linger_seconds=LINGER_SECONDS,
    )


def _ring_again(station: Station) -> None:
    """Rings for lanes with something in them: a ring may have been lost, or its worker killed."""
    for lane in station.lanes:
        if station.ledger.waiting(lane):
            station.bell.ring(lane)
