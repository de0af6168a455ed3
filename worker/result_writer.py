"""The result writer: moves results into the database, archives or drops pixels, sweeps what is too old."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

import structlog

from schemas.recipe import Retention
from schemas.verdict import Decision, Verdict
from services.infra.intake import RecipeBook
from services.infra.process.errors import FrameMissing, NotFound, UnknownRecipe
from services.infra.process.heartbeat import Progress
from services.infra.stores.archive import Archive
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger, ResultEntry
from services.infra.stores.results import ResultStore

SWEEP_SECONDS = 3600.0
FRAMES_SHOWN = 3
"""Frames of accepted parts that stay per station, whatever their recipe drops."""

log = structlog.get_logger()


@dataclass
class ResultWriter:
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
    _jobless: frozenset[str] = field(default=frozenset(), init=False)

    def tick(self) -> None:
        """Stores all results that wait; sweeps once an hour. Raises StoreError; nothing is lost then."""
        self.recipes.reload_if_changed()
        while entries := self.ledger.outbox.read(self.consumer, self.batch_size):
            stored = self._store(entries)
            self.ledger.outbox.acknowledge(stored)
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

    def _store(self, entries: Sequence[ResultEntry]) -> Sequence[ResultEntry]:
        """Database first, pixels second; returns all but reports whose verdict is not stored yet."""
        verdicts = [entry.verdict for entry in entries if entry.verdict is not None]
        sampled = {each.result_id for each in verdicts if self._is_sampled(each)}
        self.results.save_verdicts(verdicts, sampled)
        stored = [entry for entry in entries if self._add_to_verdict(entry)]
        self._put_pixels_away(
            [
                entry.verdict or self.results.get(entry.result_id).verdict
                for entry in stored
                if entry.stage.is_final
            ]
        )
        return stored

    def _add_to_verdict(self, entry: ResultEntry) -> bool:
        """Stores what came after the verdict; False where that is not there yet."""
        try:
            if entry.report is not None:
                self.results.save_report(entry.report)
            if entry.problem is not None and entry.verdict is None:
                self.results.save_problem(entry.result_id, entry.problem)
        except NotFound as error:
            log.info("result_postponed", result_id=entry.result_id, detail=error.detail)
            return False
        return True

    def _put_pixels_away(self, verdicts: Sequence[Verdict]) -> None:
        """Archives or drops each frame by its recipe's retention; done before, it changes nothing.

        The last accepted parts of a station stay in the frame store for those who watch the line.
        """
        archived = [verdict for verdict in verdicts if self._is_archived(verdict)]
        self.archive.put(self._to_archive(archived))
        accepted: dict[str, list[str]] = defaultdict(list)
        for verdict in verdicts:
            if verdict.decision is Decision.ACCEPT and verdict not in archived:
                accepted[verdict.part.station_id].append(verdict.result_id)
        for station, result_ids in accepted.items():
            self.frames.retire(station, result_ids, FRAMES_SHOWN)
        shown = set(chain.from_iterable(accepted.values()))
        self.frames.delete(*(each.result_id for each in verdicts if each.result_id not in shown))

    def _to_archive(self, verdicts: Sequence[Verdict]) -> Iterator[tuple[Verdict, bytes]]:
        """One frame after the other, so that only one is in memory."""
        for verdict in verdicts:
            # Missing: archived by an earlier delivery of this result, or it was never there: that part's
            # verdict already says frame-missing.
            with suppress(FrameMissing):
                yield verdict, self.frames.get(verdict.result_id)

    def _is_archived(self, verdict: Verdict) -> bool:
        retention = self._retention(verdict.part.recipe_id)
        fate = retention.accepted if verdict.decision is Decision.ACCEPT else retention.others
        return fate == "archive" or self._is_sampled(verdict)

    def _is_sampled(self, verdict: Verdict) -> bool:
        """Whether a person shall look at this accepted part."""
        retention = self._retention(verdict.part.recipe_id)
        return verdict.decision is Decision.ACCEPT and retention.audits(verdict.result_id)

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
        alone = frozenset(name for name in self.frames.ids() if self.ledger.jobs.state(name) is None)
        orphans = alone & self._jobless
        self.frames.delete(*orphans)
        self._jobless = alone - orphans
        return len(orphans)
