"""The verdict queue: parts that wait become verdicts as fast as the engine takes them."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from engine import EngineClosed, EngineError, Priority, Scores
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import Verdict
from services.infra.process.errors import (
    DeadlinePassed,
    FrameUnfit,
    LynceusError,
    StoreError,
    UnknownRecipe,
)
from services.infra.process.logging import bind
from services.infra.process.names import Queue
from services.infra.stores.ledger import Committed, Decided, Entry
from worker.calibration import judge
from worker.context import WorkerContext
from worker.pixels import seen_pixels
from worker.prompts import choices, inspect_prompt
from worker.refusals import as_service_error, exhausted, is_verdict, may_pass
from worker.stopwatch import Stopwatch
from worker.verdicts import diagnosis_of, judged, not_inspected

log = structlog.get_logger()


@dataclass(frozen=True)
class _Case:
    """One delivered part on its way to a verdict."""

    entry: Entry
    job: InspectionJob
    watch: Stopwatch


@dataclass(frozen=True, eq=False)
class _Asked:
    """A part whose frame the engine is looking at."""

    case: _Case
    recipe: Recipe
    scores: Future[Scores]


class Inspector:
    """Serves the queue `inspect`: `take` feeds the engine, `conclude` commits what it has answered."""

    def __init__(self, context: WorkerContext, reports_aside: Callable[[], None]) -> None:
        """`reports_aside` hands running reports back, for a part that must be alone."""
        self._context = context
        self._reports_aside = reports_aside
        self._asked: list[_Asked] = []
        self.has_suspects = False
        """Whether the last look at the queue found a part that was delivered before."""

    def take(self) -> int:
        """Reads what waits, as far as the engine has room, and asks about it; returns how many parts.

        A part that was delivered before may be what ended the last worker, so it is asked about alone: what
        the engine has in hand is finished first, and nothing is read beside it. So it cannot take others
        with it, and an innocent one succeeds at its second delivery. Raises StoreError.
        """
        context = self._context
        if self._asked and self.has_suspects:
            return 0
        count = context.engine.capacity().verdicts
        if count == 0:
            return 0
        with context.stages.timed("read"):
            entries = context.ledger.read(Queue.INSPECT, context.consumer, count)
        context.leases.hold(entries)
        batch = self._without_suspects(entries)
        if batch:
            context.reload_recipes()
            self._ask([_case(entry) for entry in batch])
        return len(batch)

    def conclude(self) -> None:
        """Commits the verdict of every part that the engine is done with, all in one step of the ledger.

        Raises StoreError, and EngineClosed after what was answered before is committed.
        """
        done = [part for part in self._asked if part.scores.done()]
        closed = [part for part in done if _ended_with_the_engine(part)]
        answered = [part for part in done if part not in closed]
        verdicts = [
            (part.case, verdict, part.recipe)
            for part in answered
            if (verdict := self._judge(part)) is not None
        ]
        if verdicts:
            self._commit(verdicts)
        self._asked = [part for part in self._asked if part not in answered]
        for part in closed:
            part.scores.result()

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
        self._context.leases.release(entry for entry in entries if entry not in alone)
        self._reports_aside()
        return alone

    def _ask(self, cases: Sequence[_Case]) -> None:
        """Hands the parts' frames to the engine, or ends a part where it cannot be asked about."""
        context, fit = self._context, []
        for case in cases:
            with self._refusing(case):
                _require_fit(case, context)
                fit.append(case)
        with context.stages.timed("fetch"):
            frames = context.frames.get_many([case.job.result_id for case in fit])
        for case in fit:
            with self._refusing(case):
                self._asked.append(self._submit(case, frames.get(case.job.result_id)))

    @contextmanager
    def _refusing(self, case: _Case) -> Iterator[None]:
        """Ends the part where the block finds that there can be no verdict with scores."""
        with bind(result_id=case.job.result_id):
            try:
                yield
            except (StoreError, EngineClosed):
                raise
            except LynceusError as error:
                self._refuse(case, error)
            except EngineError as error:
                self._refuse(case, as_service_error(error))

    def _submit(self, case: _Case, frame: bytes | None) -> _Asked:
        context, job = self._context, case.job
        recipe = context.recipe_of(job)
        golden = context.golden.images(recipe)
        pixels = seen_pixels(context, job, frame, recipe)
        case.watch.decoded()
        with context.stages.timed("prepare"):
            scores = context.engine.score(
                inspect_prompt(recipe, golden, pixels),
                choices(recipe),
                priority=Priority.VERDICT,
                deadline=time.monotonic() + _remaining_seconds(job),
            )
        case.watch.follow(scores)
        context.wake_at(scores)
        return _Asked(case, recipe, scores)

    def _judge(self, part: _Asked) -> Verdict | None:
        """The verdict on a part that the engine has answered; None where the part ends without scores."""
        job = part.case.job
        with self._refusing(part.case):
            judgement = judge(part.scores.result().log_probabilities, part.recipe)
            _remaining_seconds(job)
            return judged(job, judgement, self._context.versions(part.recipe), part.case.watch.times())
        return None

    def _commit(self, verdicts: Sequence[tuple[_Case, Verdict, Recipe | None]]) -> None:
        context = self._context
        decisions = [
            Decided(case.entry, verdict, diagnosis_of(case.job, verdict, recipe) if recipe else None)
            for case, verdict, recipe in verdicts
        ]
        with context.stages.timed("commit"):
            outcomes = context.ledger.commit_verdicts(decisions)
        for decision, outcome in zip(decisions, outcomes, strict=True):
            log.info(
                "verdict",
                result_id=decision.verdict.result_id,
                decision=decision.verdict.decision,
                defect=decision.verdict.defect_class,
                outcome=type(outcome).__name__,
            )
            self._settle(decision.entry, counted=isinstance(outcome, Committed))
        # A worker that serves both queues looks at the other one itself.
        if Queue.DIAGNOSE not in context.queues and any(decision.diagnosis for decision in decisions):
            context.wake_up.send(Queue.DIAGNOSE)

    def _refuse(self, case: _Case, error: LynceusError) -> None:
        """Ends a part without scores: NOT_INSPECTED, or dead-lettered with it, or tried once more."""
        context, entry = self._context, case.entry
        log.warning("not_judged", code=error.code, detail=error.detail, deliveries=entry.deliveries)
        if may_pass(error) and entry.deliveries < context.max_deliveries:
            context.leases.retry([entry])
            return
        if may_pass(error):
            error = exhausted(entry, error)
        problem = error.problem(instance=f"/v1/inspections/{case.job.result_id}")
        versions = context.versions(self._recipe_if_loaded(case.job))
        verdict = not_inspected(case.job, problem, versions, case.watch.times())
        if is_verdict(error):
            self._commit([(case, verdict, None)])
            return
        outcome = context.ledger.dead_letter(entry, problem, verdict)
        self._settle(entry, counted=isinstance(outcome, Committed))

    def _recipe_if_loaded(self, job: InspectionJob) -> Recipe | None:
        try:
            return self._context.recipe_of(job)
        except UnknownRecipe:
            return None

    def _settle(self, entry: Entry, *, counted: bool) -> None:
        self._context.leases.settle(entry)
        if counted:
            self._context.progress.finish()


def _case(entry: Entry) -> _Case:
    if not isinstance(entry.job, InspectionJob):
        raise TypeError(f"the queue {entry.queue} handed out a {type(entry.job).__name__}")
    return _Case(entry, entry.job, Stopwatch(entry.job.creation_time))


def _require_fit(case: _Case, context: WorkerContext) -> None:
    """Raises what ends a part before its frame is fetched, DeadlinePassed and FrameUnfit among it."""
    if case.entry.deliveries > context.max_deliveries:
        raise exhausted(case.entry)
    _remaining_seconds(case.job)
    if case.job.unusable_reason is not None:
        raise FrameUnfit(case.job.unusable_reason, hint="look at the camera, its light and its focus")


def _ended_with_the_engine(part: _Asked) -> bool:
    return not part.scores.cancelled() and isinstance(part.scores.exception(), EngineClosed)


def _remaining_seconds(job: InspectionJob) -> float:
    """Seconds until the job's deadline. Raises DeadlinePassed: the line has let the part go."""
    remaining = (job.deadline - datetime.now(UTC)).total_seconds()
    if remaining <= 0:
        raise DeadlinePassed(
            f"the verdict was due {-remaining:.3f} s ago",
            hint="start more workers, or give the recipe a longer deadline",
        )
    return remaining
