"""Puts a result writer together: stores, database, archive and the thread beside it. No engine, no torch."""

import threading

from services.infra.intake.recipes import RecipeBook
from services.infra.intake.submission import Submission
from services.infra.process.names import RESULTS_QUEUE
from services.infra.process.settings import ResultWriterSettings
from services.infra.stores.archive import Archive
from services.infra.stores.frames import RedisFrames
from services.infra.stores.ledger import RedisLedger
from services.infra.stores.results import SqlResults
from services.infra.stores.wake_up import WakeUp
from worker.app import create_app
from worker.process import serve
from worker.progress import Progress
from worker.result_tasks import register_results, register_submit
from worker.result_writer import ResultWriter
from worker.tick_wake_up import TickWakeUp
from worker.ticker import Ticker
from worker.versions import code_version


def run_result_writer(settings: ResultWriterSettings, name: str) -> int:
    """Serves the queue `result writer` until asked to stop; returns the exit code. Raises RecipeInvalid."""
    app = create_app(settings.ledger_url)
    ledger = RedisLedger(settings.ledger_url, lease_ms=settings.lease_ms)
    frames = RedisFrames(settings.frames_url)
    recipes = RecipeBook(settings.recipes_dir)
    progress = Progress(name=name, kind="result-writer", code_version=code_version())
    result_writer = ResultWriter(
        consumer=name,
        ledger=ledger,
        frames=frames,
        results=SqlResults(settings.database_url),
        recipes=recipes,
        archive=Archive(settings.archive_dir),
        progress=progress,
        batch_size=settings.results_batch,
    )
    wake_up = TickWakeUp(app)
    register_results(app, result_writer, wake_up)
    register_submit(app, Submission(ledger, frames, WakeUp(settings.ledger_url), recipes))
    ticker = Ticker([lambda: ledger.heartbeat(progress.heartbeat()), wake_up.send])
    return serve(app, [RESULTS_QUEUE], name, ticker, threading.Event())
