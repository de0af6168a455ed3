"""The verdict lane: parts that wait become verdicts as fast as the engine takes them."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from engine import EngineClosed, EngineError, Priority, Scores
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import Verdict
from services.infra.errors import (
    DeadlinePassed,
    FrameUnfit,
    LynceusError,
    StoreError,
    UnknownRecipe,
)
from services.infra.ledger import Committed, Entry
from services.infra.logging import bind
from services.infra.names import Lane
from worker.calibration import judge
from worker.pixels import seen_pixels
from worker.prompts import choices, inspect_prompt
from worker.refusals import as_service_error, exhausted, is_verdict, may_pass
from worker.station import Station
from worker.stopwatch import Stopwatch
from worker.verdicts import diagnosis_of, judged, not_inspected

log = structlog.get_logger()


@dataclass(frozen=True)
class _Case:
    """One delivered part on its way to a verdict."""

    entry: Entry
    job: InspectionJob
    watch: Stopwatch


@dataclass(frozen=True)
class _Asked:
    """A part whose frame the engine is looking at."""

    case: _Case
    recipe: Recipe
    scores: Future[Scores]


class Inspector:
    """Serves the lane `inspect`: `take` feeds the engine, `conclude` commits what it has answered."""

    def __init__(self, station: Station, reports_aside: Callable[[], None]) -> None:
        """`reports_aside` hands running reports back, for a part that must be alone."""
        self._station = station
        self._reports_aside = reports_aside
        self._asked: list[_Asked] = []
        self.has_suspects = False
        """Whether the last look at the lane found a part that was delivered before."""

    def take(self) -> int:
        """Reads what waits, as far as the engine has room, and asks about it; returns how many parts.

        A part that was delivered before may be what ended the last worker, so it is asked about alone: what
        the engine has in hand is finished first, and nothing is read beside it. So it cannot take others
        with it, and an innocent one succeeds at its second delivery. Raises StoreError.
        """
        station = self._station
        if self._asked and self.has_suspects:
            return 0
        count = station.engine.room().verdicts
        if count == 0:
            return 0
        with station.stages.timed("read"):
            entries = station.ledger.read(Lane.INSPECT, station.consumer, count)
        station.claims.hold(entries)
        batch = self._without_suspects(entries)
        if batch:
            station.reload_recipes()
        for entry in batch:
            self._ask(_case(entry))
        return len(batch)

    def conclude(self) -> None:
        """Commits the verdict of every part that the engine is done with.

        Raises StoreError, and EngineClosed after what was answered before is committed.
        """
        done = [part for part in self._asked if part.scores.done()]
        for part in sorted(done, key=_ended_with_the_engine):
            with bind(result_id=part.case.job.result_id):
                self._conclude(part)
            self._asked.remove(part)

    def drop(self) -> None:
        """Stops the engine's work on every part and forgets them; their entries are the caller's."""
        for part in self._asked:
            part.scores.cancel()
        self._asked.clear()

    def _without_suspects(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """All entries when none was delivered before; else the first such entry alone, once all is quiet."""
        suspects = [entry for entry in entries if entry.deliveries > 1]
        self.has_suspects = bool(suspects)
        if not suspects:
            return entries
        alone = [] if self._asked else suspects[:1]
        self._station.claims.release(entry for entry in entries if entry not in alone)
        self._reports_aside()
        return alone

    def _ask(self, case: _Case) -> None:
        """Hands the part's frame to the engine, or ends the part where it cannot be asked about."""
        with bind(result_id=case.job.result_id):
            try:
                self._asked.append(self._submit(case))
            except StoreError:
                raise
            except LynceusError as error:
                self._refuse(case, error)

    def _submit(self, case: _Case) -> _Asked:
        station, job = self._station, case.job
        if case.entry.deliveries > station.max_deliveries:
            raise exhausted(case.entry)
        remaining = _remaining_seconds(job)
        if job.unusable_reason is not None:
            raise FrameUnfit(job.unusable_reason, mend="look at the camera, its light and its focus")
        recipe = station.recipe_of(job)
        golden = station.golden.images(recipe)
        pixels = seen_pixels(station, job, recipe)
        case.watch.decoded()
        with station.stages.timed("prepare"):
            scores = station.engine.score(
                inspect_prompt(recipe, golden, pixels),
                choices(recipe),
                priority=Priority.VERDICT,
                deadline=time.monotonic() + remaining,
            )
        case.watch.follow(scores)
        station.wake_at(scores)
        return _Asked(case, recipe, scores)

    def _conclude(self, part: _Asked) -> None:
        """Commits the verdict of a part the engine is done with."""
        case = part.case
        try:
            judgement = judge(part.scores.result().log_probabilities, part.recipe)
            _remaining_seconds(case.job)
        except EngineClosed:
            raise
        except EngineError as error:
            self._refuse(case, as_service_error(error))
        except LynceusError as error:
            self._refuse(case, error)
        else:
            versions = self._station.versions(part.recipe)
            self._commit(case, judged(case.job, judgement, versions, case.watch.times()), part.recipe)

    def _commit(self, case: _Case, verdict: Verdict, recipe: Recipe | None) -> None:
        station = self._station
        diagnosis = diagnosis_of(case.job, verdict, recipe) if recipe else None
        with station.stages.timed("commit"):
            outcome = station.ledger.commit_verdict(case.entry, verdict, diagnosis)
        log.info(
            "verdict", decision=verdict.decision, defect=verdict.defect_class, outcome=type(outcome).__name__
        )
        self._settle(case, counted=isinstance(outcome, Committed))
        # A worker that serves both lanes looks at the other one itself.
        if diagnosis is not None and Lane.DIAGNOSE not in station.lanes:
            station.bell.ring(Lane.DIAGNOSE)

    def _refuse(self, case: _Case, error: LynceusError) -> None:
        """Ends a part without scores: NOT_INSPECTED, or buried with it, or tried once more."""
        station, entry = self._station, case.entry
        log.warning("not_judged", code=error.code, detail=error.detail, deliveries=entry.deliveries)
        if may_pass(error) and entry.deliveries < station.max_deliveries:
            station.claims.retry([entry])
            return
        if may_pass(error):
            error = exhausted(entry, error)
        problem = error.problem(instance=f"/v1/inspections/{case.job.result_id}")
        versions = station.versions(self._recipe_if_loaded(case.job))
        verdict = not_inspected(case.job, problem, versions, case.watch.times())
        if is_verdict(error):
            self._commit(case, verdict, recipe=None)
            return
        outcome = station.ledger.bury(entry, problem, verdict)
        self._settle(case, counted=isinstance(outcome, Committed))

    def _recipe_if_loaded(self, job: InspectionJob) -> Recipe | None:
        try:
            return self._station.recipe_of(job)
        except UnknownRecipe:
            return None

    def _settle(self, case: _Case, *, counted: bool) -> None:
        self._station.claims.settle(case.entry)
        if counted:
            self._station.progress.finish()


def _case(entry: Entry) -> _Case:
    if not isinstance(entry.job, InspectionJob):
        raise TypeError(f"the lane {entry.lane} handed out a {type(entry.job).__name__}")
    return _Case(entry, entry.job, Stopwatch(entry.job.creation_time))


def _ended_with_the_engine(part: _Asked) -> bool:
    return not part.scores.cancelled() and isinstance(part.scores.exception(), EngineClosed)


def _remaining_seconds(job: InspectionJob) -> float:
    """Seconds until the job's deadline. Raises DeadlinePassed: the line has let the part go."""
    remaining = (job.deadline - datetime.now(UTC)).total_seconds()
    if remaining <= 0:
        raise DeadlinePassed(
            f"the verdict was due {-remaining:.3f} s ago",
            mend="start more workers, or give the recipe a longer deadline",
        )
    return remaining
