"""The work of the verdict queue: a part's frame becomes a verdict."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

import numpy as np
import structlog
from numpy.typing import NDArray

from engine import Image, Opinion, Priority, Scores
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import AnomalyMap
from services.infra.process.errors import FrameUnfit, LynceusError, PartTooLate, UnknownRecipe
from services.infra.process.names import Queue
from services.infra.stores.ledger import AlreadyCommitted, Committed, Decided
from worker.context import WorkerContext
from worker.prompts import choices, inspect_prompt
from worker.queue_runner import Delivery, Request, Work
from worker.refusals import Fate, fate_of
from worker.taught import anomaly_map_of
from worker.verdicts import (
    NOT_INSPECTED,
    Judgement,
    diagnosis_of,
    judge,
    judge_opinion,
    verdict_on,
)

log = structlog.get_logger()


class Inspection(Work[InspectionJob, Scores | Opinion, Decided]):
    """Asks what the recipe was taught, or else the language model; no verdict after the part's deadline."""

    queue = Queue.INSPECT
    job_type = InspectionJob

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def capacity(self, _running: int, /) -> int:
        """See Work.capacity: the engine's alone."""
        return self._context.engine.capacity().verdicts

    def check(self, job: InspectionJob) -> None:
        """See Work.check. Raises PartTooLate and FrameUnfit."""
        _remaining_seconds(job)
        if job.unusable_reason is not None:
            raise FrameUnfit(job.unusable_reason, hint="look at the camera, its light and its focus")

    def recipe(self, job: InspectionJob) -> Recipe:
        """See Work.recipe. Raises UnknownRecipe."""
        return self._context.recipe_of(job)

    def ask(
        self,
        delivery: Delivery[InspectionJob],
        recipe: Recipe,
        golden: Sequence[Image],
        frame: NDArray[np.uint8],
    ) -> Future[Scores] | Future[Opinion]:
        """See Work.ask."""
        if recipe.taught is not None:
            return self._context.taught.ask(recipe, frame, golden[0].pixels if golden else None)
        return self._context.engine.score(
            inspect_prompt(recipe, golden, frame),
            choices(recipe),
            priority=Priority.VERDICT,
            deadline=time.monotonic() + _remaining_seconds(delivery.job),
        )

    def result(self, request: Request[InspectionJob, Scores | Opinion], answer: Scores | Opinion) -> Decided:
        """See Work.result."""
        delivery, job = request.delivery, request.delivery.job
        judgement, seen = self._judged(answer, job, request.recipe)
        _remaining_seconds(job)
        versions = self._context.versions(request.recipe)
        verdict = verdict_on(job, judgement, versions, delivery.watch.times(), anomaly_map=seen)
        return Decided(delivery.entry, verdict, diagnosis_of(job, verdict, request.recipe))

    def commit(
        self, results: Sequence[tuple[Delivery[InspectionJob], Decided]]
    ) -> Sequence[Committed | AlreadyCommitted]:
        """See Work.commit."""
        context, decisions = self._context, [decision for _, decision in results]
        outcomes = context.ledger.jobs.commit_verdicts(decisions)
        for decision, outcome in zip(decisions, outcomes, strict=True):
            _log(decision, outcome)
        # A worker that serves both queues looks at the other one itself.
        if Queue.DIAGNOSE not in context.queues and any(decision.diagnosis for decision in decisions):
            context.wake_up.send(Queue.DIAGNOSE)
        return outcomes

    def give_up(self, delivery: Delivery[InspectionJob], error: LynceusError) -> Committed | AlreadyCommitted:
        """See Work.give_up: NOT_INSPECTED, and a dead letter beside it where a fault is to be fixed."""
        context, job = self._context, delivery.job
        problem = error.problem(instance=f"/v1/inspections/{job.result_id}")
        versions = context.versions(self._recipe_if_loaded(job))
        verdict = verdict_on(job, NOT_INSPECTED, versions, delivery.watch.times(), problem=problem)
        if fate_of(error) is Fate.CONCLUDED:
            return self.commit([(delivery, Decided(delivery.entry, verdict, None))])[0]
        return context.ledger.jobs.dead_letter(delivery.entry, problem, verdict)

    def _judged(
        self, answer: Scores | Opinion, job: InspectionJob, recipe: Recipe
    ) -> tuple[Judgement, AnomalyMap | None]:
        if isinstance(answer, Scores):
            return judge(answer.log_probabilities, recipe), None
        return judge_opinion(answer, recipe), anomaly_map_of(answer, job, recipe)

    def _recipe_if_loaded(self, job: InspectionJob) -> Recipe | None:
        try:
            return self._context.recipe_of(job)
        except UnknownRecipe:
            return None


def _remaining_seconds(job: InspectionJob) -> float:
    """Seconds until the job's deadline. Raises PartTooLate: the line has let the part go."""
    remaining = (job.deadline - datetime.now(UTC)).total_seconds()
    if remaining <= 0:
        raise PartTooLate(
            f"the verdict was due {-remaining:.3f} s ago",
            hint="start more workers, or give the recipe a longer deadline",
        )
    return remaining


def _log(decision: Decided, outcome: Committed | AlreadyCommitted) -> None:
    verdict = decision.verdict
    log.info(
        "verdict",
        result_id=verdict.result_id,
        decision=verdict.decision,
        defect=verdict.defect_class,
        outcome=type(outcome).__name__,
    )
