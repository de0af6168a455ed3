"""The work of the report queue: an escalated part becomes a written report."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import ValidationError

from engine import Completion, Image, Priority, Sampling
from schemas.job import DiagnosisJob
from schemas.recipe import Recipe
from schemas.report import CANNOT_TELL, Diagnosis, DiagnosisReport
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

LEAST_CROP = 28
"""Pixels a side below which the model sees nothing: two patches."""

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
        engine, oddest = self._context.engine, oddest_place(delivery.job)
        return engine.generate(
            diagnose_prompt(recipe, golden, frame, crop(oddest, frame)),
            sampling(delivery.entry.deliveries, engine.info.max_model_len),
            thinking=True,
            schema=schema_of(recipe, oddest),
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


@dataclass(frozen=True)
class Place:
    """A rectangle of the looked-at picture, all in fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float

    def in_words(self) -> str:
        """Where its centre lies in a three by three grid, as a person says it."""
        column, row = (min(2, int(3 * (low + high) / 2)) for low, high in self._sides())
        if (column, row) == (1, 1):
            return "centre"
        return f"{('upper', 'middle', 'lower')[row]} {('left', 'middle', 'right')[column]}"

    def _sides(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.left, self.right), (self.top, self.bottom)


def schema_of(recipe: Recipe, oddest: Place | None) -> dict[str, Any]:
    """The schema of `Diagnosis`; what was measured is not left to the model.

    Where the part looks oddest is a fact, and a recipe that was taught names its own defects.
    """
    known: dict[str, Any] = {}
    if oddest is not None:
        known["where"] = {"const": oddest.in_words()}
    if recipe.taught is not None:
        wordings = [klass.wording for klass in recipe.classes if not klass.acceptable]
        known["defect"] = {"enum": [*wordings, CANNOT_TELL]}
    return SCHEMA | {"properties": SCHEMA["properties"] | known}


def oddest_place(job: DiagnosisJob) -> Place | None:
    """Where the verdict's map is hottest, None where there is no map or nothing is odd."""
    seen = job.verdict.anomaly_map
    if seen is None or seen.hottest is None:
        return None
    area, box = seen.area, seen.hottest
    return Place(
        left=(box.x - area.x) / area.width,
        top=(box.y - area.y) / area.height,
        right=(box.x + box.width - area.x) / area.width,
        bottom=(box.y + box.height - area.y) / area.height,
    )


def crop(place: Place | None, frame: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The place with as much around it on each side, RGB [H, W, 3]; None where no place is odd."""
    if place is None:
        return None
    height, width = frame.shape[:2]
    across, down = place.right - place.left, place.bottom - place.top
    left, top = max(0.0, place.left - across), max(0.0, place.top - down)
    right, bottom = min(1.0, place.right + across), min(1.0, place.bottom + down)
    rows = slice(int(top * height), max(int(bottom * height), int(top * height) + LEAST_CROP))
    columns = slice(int(left * width), max(int(right * width), int(left * width) + LEAST_CROP))
    return np.ascontiguousarray(frame[rows, columns])


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
