"""The work of the report queue: an escalated part becomes a written report."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import ValidationError

from engine import Completion, Image, Priority, Sampling
from schemas.job import DiagnosisJob
from schemas.recipe import Recipe
from schemas.report import Diagnosis, DiagnosisReport
from schemas.verdict import ProcessingTimes, Versions
from services.infra.process.errors import EngineFailed, LynceusError
from services.infra.process.names import Queue
from services.infra.stores.ledger import AlreadyCommitted, Committed
from worker.context import WorkerContext
from worker.prompts import diagnose_prompt
from worker.queue_runner import Delivery, Request, Work

log = structlog.get_logger()

REPORT_TOKENS = 1024
"""Reasoning and report together, if the context holds twice that; the report itself needs 130 to 300."""

RETRY_TEMPERATURE = 0.7
"""Greedy writing would fail a second time in the same way."""

SCHEMA = Diagnosis.model_json_schema()


class Reporting(Work[DiagnosisJob, Completion, DiagnosisReport]):
    """Has the engine reason and write, several reports at once; the part keeps its verdict either way."""

    queue = Queue.DIAGNOSE
    job_type = DiagnosisJob

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def capacity(self, running: int, /) -> int:
        """See Work.capacity: the engine's, and at most `reports_at_once` run."""
        context = self._context
        return min(context.reports_at_once - running, context.engine.capacity().reports)

    def check(self, job: DiagnosisJob) -> None:
        """See Work.check: a report has no deadline."""

    def recipe(self, job: DiagnosisJob) -> Recipe:
        """See Work.recipe. Raises UnknownRecipe.

        As it is now, not as it was for the verdict: an edited recipe costs no report that still waits.
        """
        return self._context.recipes.get(job.part.recipe_id)

    def ask(
        self,
        delivery: Delivery[DiagnosisJob],
        recipe: Recipe,
        golden: Sequence[Image],
        frame: NDArray[np.uint8],
    ) -> Future[Completion]:
        """See Work.ask."""
        engine = self._context.engine
        return engine.generate(
            diagnose_prompt(recipe, golden, frame),
            sampling(delivery.entry.deliveries, engine.info.max_model_len),
            thinking=True,
            schema=SCHEMA,
            priority=Priority.REPORT,
            deadline=None,
        )

    def result(self, request: Request[DiagnosisJob, Completion], answer: Completion) -> DiagnosisReport:
        """See Work.result. Raises EngineFailed for a report that is cut off."""
        versions, times = self._context.versions(request.recipe), request.delivery.watch.times()
        return _report(request.delivery.job, answer, parse(answer), versions, times)

    def commit(
        self, results: Sequence[tuple[Delivery[DiagnosisJob], DiagnosisReport]]
    ) -> Sequence[Committed | AlreadyCommitted]:
        """See Work.commit."""
        outcomes = []
        for delivery, report in results:
            outcomes.append(self._context.ledger.jobs.commit_report(delivery.entry, report))
            log.info("report", result_id=report.result_id, outcome=type(outcomes[-1]).__name__)
        return outcomes

    def give_up(self, delivery: Delivery[DiagnosisJob], error: LynceusError) -> Committed | AlreadyCommitted:
        """See Work.give_up: a dead letter."""
        problem = error.problem(instance=f"/v1/reports/{delivery.job.result_id}")
        return self._context.ledger.jobs.dead_letter(delivery.entry, problem, None)


def sampling(deliveries: int, max_model_len: int) -> Sampling:
    """As the checkpoint recommends the first time; after a report that could not be read warmer.

    The seed is the delivery's number, so that a report can be written again word for word.
    Half of the context is left to the prompt and its image, and half of the rest to the report itself.
    """
    tokens = min(REPORT_TOKENS, max_model_len // 2)
    return Sampling(
        max_tokens=tokens,
        temperature=None if deliveries == 1 else RETRY_TEMPERATURE,
        seed=deliveries,
        reasoning_max_tokens=tokens // 2,
    )


def parse(completion: Completion) -> Diagnosis:
    """The diagnosis in what the model wrote. Raises EngineFailed when it is cut off."""
    try:
        return Diagnosis.model_validate_json(completion.content)
    except ValidationError as error:
        first = error.errors()[0]
        raise EngineFailed(
            f"the report could not be read (finish reason {completion.finish_reason!r}): "
            f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}",
            hint="a report that ends too early needs a shorter diagnose prompt or a model trained on it",
        ) from error


def _report(
    job: DiagnosisJob, written: Completion, diagnosis: Diagnosis, versions: Versions, times: ProcessingTimes
) -> DiagnosisReport:
    return DiagnosisReport(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        decision=job.verdict.decision,
        defect_class=job.verdict.defect_class,
        diagnosis=diagnosis,
        reasoning=written.reasoning,
        versions=versions,
        processing_times=times,
        creation_time=datetime.now(UTC),
        is_simulated=job.verdict.is_simulated,
    )
