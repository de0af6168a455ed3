"""From log-probabilities to a verdict: temperature softmax, the recipe's two thresholds, the record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.recipe import Recipe, Thresholds
from schemas.verdict import ClassScore, Decision, ProcessingTimes, Verdict, Versions
from services.infra.process.errors import EngineFailed


@dataclass(frozen=True)
class Judgement:
    """A decision with the numbers behind it; without numbers it is NOT_INSPECTED.

    `defect_class` is None where the part is accepted or was not inspected.
    """

    decision: Decision
    defect_class: str | None = None
    defect_probability: float | None = None
    scores: tuple[ClassScore, ...] = ()


NOT_INSPECTED = Judgement(Decision.NOT_INSPECTED)


def softmax(log_probabilities: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Probabilities that sum to 1 after dividing by the temperature (Guo et al. 2017, temperature scaling).

    Minus infinity is a legal log-probability (an impossible choice).
    Raises EngineFailed for NaN, plus infinity, or when every choice is impossible.
    """
    peak = max(log_probabilities)
    if not math.isfinite(peak) or any(math.isnan(value) for value in log_probabilities):
        raise EngineFailed(
            f"the scores are not log-probabilities: {[float(value) for value in log_probabilities]}",
            hint="check the checkpoint; a network that overflows gives such numbers",
        )
    weights = [math.exp((value - peak) / temperature) for value in log_probabilities]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def decide(defect_probability: float, thresholds: Thresholds) -> Decision:
    """Below T1 ACCEPT, from T2 on REJECT, REVIEW in between."""
    if defect_probability >= thresholds.reject_from:
        return Decision.REJECT
    if defect_probability >= thresholds.accept_below:
        return Decision.REVIEW
    return Decision.ACCEPT


def judge(log_probabilities: Sequence[float], recipe: Recipe) -> Judgement:
    """The judgement on one part from one log-probability per class, in the recipe's order of classes.

    Raises EngineFailed when the numbers are not log-probabilities.
    """
    probabilities = softmax(log_probabilities, recipe.thresholds.temperature)
    scored = tuple(zip(recipe.classes, probabilities, strict=True))
    defects = [(probability, klass.name) for klass, probability in scored if not klass.acceptable]
    # A sum of shares of one may come out a rounding error above one, which the schema refuses.
    defect_probability = min(1.0, math.fsum(probability for probability, _ in defects))
    decision = decide(defect_probability, recipe.thresholds)
    likeliest = max(defects, key=lambda defect: defect[0])[1] if defects else None
    return Judgement(
        decision=decision,
        defect_class=None if decision is Decision.ACCEPT else likeliest,
        defect_probability=defect_probability,
        scores=tuple(ClassScore(name=klass.name, probability=value) for klass, value in scored),
    )


def verdict_on(
    job: InspectionJob,
    judgement: Judgement,
    versions: Versions,
    times: ProcessingTimes,
    problem: Problem | None = None,
) -> Verdict:
    """The verdict that ends the inspection of a part; `problem` is the reason of a NOT_INSPECTED one."""
    return Verdict(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        decision=judgement.decision,
        defect_class=judgement.defect_class,
        defect_probability=judgement.defect_probability,
        scores=judgement.scores,
        problem=problem,
        versions=versions,
        processing_times=times,
        creation_time=datetime.now(UTC),
        is_simulated=job.is_simulated,
    )


def diagnosis_of(job: InspectionJob, verdict: Verdict, recipe: Recipe) -> DiagnosisJob | None:
    """The request for a written report, when the recipe escalates this decision on an inspected part."""
    is_inspected = verdict.decision is not Decision.NOT_INSPECTED
    if not (is_inspected and verdict.decision in recipe.escalation.decisions):
        return None
    return DiagnosisJob(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        verdict=verdict,
        creation_time=verdict.creation_time,
    )
