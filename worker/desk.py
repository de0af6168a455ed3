"""Puts a clerk together: stores, database, archive and the thread beside it. No engine, no torch."""

import threading

from services.infra.archive import Archive
from services.infra.doorbell import Doorbell
from services.infra.frames import RedisFrames
from services.infra.ledger import RedisLedger
from services.infra.names import CLERK_QUEUE
from services.infra.recipes import RecipeBook
from services.infra.results import SqlResults
from services.infra.settings import ClerkSettings
from services.infra.submission import Submission
from worker.app import create_app
from worker.clerk import Clerk
from worker.clerk_bell import ClerkBell
from worker.clerk_tasks import register_clerk, register_submit
from worker.process import serve
from worker.progress import Progress
from worker.ticker import Ticker
from worker.versions import code_version


def run_clerk(settings: ClerkSettings, name: str) -> int:
    """Serves the queue `clerk` until asked to stop; returns the exit code. Raises RecipeInvalid."""
    app = create_app(settings.ledger_url)
    ledger = RedisLedger(settings.ledger_url, claim_idle_ms=settings.claim_idle_ms)
    frames = RedisFrames(settings.frames_url)
    recipes = RecipeBook(settings.recipes_dir)
    progress = Progress(name=name, kind="clerk", code_version=code_version())
    clerk = Clerk(
        consumer=name,
        ledger=ledger,
        frames=frames,
        results=SqlResults(settings.database_url),
        recipes=recipes,
        archive=Archive(settings.archive_dir),
        progress=progress,
        batch_size=settings.results_batch,
    )
    bell = ClerkBell(app)
    register_clerk(app, clerk, bell)
    register_submit(app, Submission(ledger, frames, Doorbell(settings.ledger_url), recipes))
    ticker = Ticker([lambda: ledger.heartbeat(progress.beat()), bell.ring])
    return serve(app, [CLERK_QUEUE], name, ticker, threading.Event())
