"""The verdict lane: a batch of waiting parts becomes a batch of verdicts."""

import time
from collections.abc import Sequence
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
    """Serves the lane `inspect`, one batch at a step."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def step(self) -> bool:
        """Brings one batch of what waits to its verdicts; False when nothing waited.

        Raises StoreError or EngineClosed when a store or the engine is not there; unfinished parts are then
        back in the lane.
        """
        station = self._station
        entries = station.ledger.read(Lane.INSPECT, station.consumer, station.batch_size)
        if not entries:
            return False
        batch = self._batch(entries)
        with station.claims.hold(batch):
            asked = [asked for entry in batch if (asked := self._ask(_case(entry))) is not None]
            station.claims.wait_for([part.scores for part in asked])
            for part in asked:
                with bind(result_id=part.case.job.result_id):
                    self._conclude(part)
        return True

    def _batch(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """All entries, or the first that was delivered before, alone: it may be what ended the last worker.

        Alone it cannot take batch mates with it, so an innocent part succeeds at its second delivery.
        """
        suspects = [entry for entry in entries if entry.deliveries > 1]
        if not suspects:
            return entries
        self._station.ledger.release([entry for entry in entries if entry is not suspects[0]])
        return suspects[:1]

    def _ask(self, case: _Case) -> _Asked | None:
        """Hands the part's frame to the engine; None when the part has come to its end already."""
        with bind(result_id=case.job.result_id):
            try:
                return self._submit(case)
            except StoreError:
                raise
            except LynceusError as error:
                self._refuse(case, error)
        return None

    def _submit(self, case: _Case) -> _Asked:
        station, job = self._station, case.job
        if case.entry.deliveries > station.max_deliveries:
            raise exhausted(case.entry)
        remaining = _remaining_seconds(job)
        if job.unusable_reason is not None:
            raise FrameUnfit(job.unusable_reason, mend="look at the camera, its light and its focus")
        recipe = station.recipe_of(job)
        pixels = seen_pixels(station.frames, job, recipe)
        case.watch.decoded()
        scores = station.engine.score(
            inspect_prompt(recipe, pixels),
            choices(recipe),
            priority=Priority.VERDICT,
            deadline=time.monotonic() + remaining,
        )
        case.watch.follow(scores)
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
        outcome = station.ledger.commit_verdict(case.entry, verdict, diagnosis)
        log.info(
            "verdict", decision=verdict.decision, defect=verdict.defect_class, outcome=type(outcome).__name__
        )
        self._settle(case, counted=isinstance(outcome, Committed))
        if diagnosis is not None:
            station.bell.ring(Lane.DIAGNOSE)

    def _refuse(self, case: _Case, error: LynceusError) -> None:
        """Ends a part without scores: NOT_INSPECTED, or buried with it, or tried once more."""
        station, entry = self._station, case.entry
        log.warning("not_judged", code=error.code, detail=error.detail, deliveries=entry.deliveries)
        if may_pass(error) and entry.deliveries < station.max_deliveries:
            station.ledger.retry([entry])
            station.claims.settle(entry)
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


def _remaining_seconds(job: InspectionJob) -> float:
    """Seconds until the job's deadline. Raises DeadlinePassed: the line has let the part go."""
    remaining = (job.deadline - datetime.now(UTC)).total_seconds()
    if remaining <= 0:
        raise DeadlinePassed(
            f"the verdict was due {-remaining:.3f} s ago",
            mend="start more workers, or give the recipe a longer deadline",
        )
    return remaining
