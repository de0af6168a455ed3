"""The clerk: moves results into the database, archives or drops pixels, sweeps what is past its time."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from schemas.recipe import Retention
from schemas.verdict import Decision, Verdict
from services.infra.archive import Archive
from services.infra.errors import FrameMissing, NotFound, UnknownRecipe
from services.infra.frames import FrameStore
from services.infra.ledger import Ledger, ResultEntry
from services.infra.recipes import RecipeBook
from services.infra.results import ResultStore
from worker.progress import Progress

SWEEP_SECONDS = 3600.0

log = structlog.get_logger()


@dataclass
class Clerk:
    """Stores each result once, in an order in which a crash between any two steps only repeats work."""

    consumer: str
    ledger: Ledger
    frames: FrameStore
    results: ResultStore
    recipes: RecipeBook
    archive: Archive
    progress: Progress
    batch_size: int
    _swept_at: float | None = field(default=None, init=False)
    _unclaimed: frozenset[str] = field(default=frozenset(), init=False)

    def tick(self) -> None:
        """Stores all results that wait; sweeps once an hour. Raises StoreError; nothing is lost then."""
        self.recipes.reload_if_changed()
        while entries := self.ledger.read_results(self.consumer, self.batch_size):
            stored = [entry for entry in entries if self._store(entry)]
            self.ledger.acknowledge_results(stored)
            self.progress.finish(len(stored))
        if self._swept_at is None or time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self.sweep()
            self._swept_at = time.monotonic()

    def sweep(self) -> None:
        """Drops archived images past their recipe's retention, and frames that no job speaks of."""
        folders = self.archive.sweep(datetime.now(UTC).date(), lambda recipe: self._retention(recipe).days)
        frames = self._sweep_frames()
        if folders or frames:
            log.info("swept", archive_folders=folders, frames=frames)

    def _store(self, entry: ResultEntry) -> bool:
        """Database first, pixels second; False for a report whose verdict is not stored yet."""
        try:
            self._save(entry)
        except NotFound as error:
            log.info("result_postponed", result_id=entry.result_id, detail=error.detail)
            return False
        if entry.stage.is_final:
            self._put_pixels_away(entry.verdict or self.results.get(entry.result_id).verdict)
        return True

    def _save(self, entry: ResultEntry) -> None:
        if entry.verdict is not None:
            self.results.save_verdict(entry.verdict)
        if entry.report is not None:
            self.results.save_report(entry.report)
        if entry.problem is not None and entry.verdict is None:
            self.results.save_problem(entry.result_id, entry.problem)

    def _put_pixels_away(self, verdict: Verdict) -> None:
        """Archives or drops the frame by the recipe's retention; done before, it changes nothing."""
        retention = self._retention(verdict.part.recipe_id)
        fate = retention.accepted if verdict.decision is Decision.ACCEPT else retention.others
        if fate == "archive":
            try:
                self.archive.put(verdict, self.frames.get(verdict.result_id))
            except FrameMissing:
                # Archived by an earlier delivery of this result, or it was never there: that part's
                # verdict already says frame-missing.
                return
        self.frames.delete(verdict.result_id)

    def _retention(self, recipe_id: str) -> Retention:
        """The recipe's retention, or the default one when the recipe is no longer loaded."""
        try:
            return self.recipes.get(recipe_id).retention
        except UnknownRecipe:
            return Retention()

    def _sweep_frames(self) -> int:
        """Deletes frames without a job; returns how many.

        A frame is put before its job is added, so it goes only when it stood alone at the last sweep as well.
        """
        alone = frozenset(name for name in self.frames.ids() if self.ledger.state(name) is None)
        orphans = alone & self._unclaimed
        for result_id in orphans:
            self.frames.delete(result_id)
        self._unclaimed = alone - orphans
        return len(orphans)
