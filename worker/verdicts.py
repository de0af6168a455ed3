"""From scores or a taught opinion to a verdict: probabilities, two thresholds, the recipe's standing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engine import ANOMALY, Opinion
from schemas.evidence import Standing
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.recipe import Recipe, Thresholds
from schemas.verdict import AnomalyMap, ClassScore, Decision, ProcessingTimes, Verdict, Versions
from services.infra.process.errors import EngineFailed, FrameUnfit


@dataclass(frozen=True)
class Judgement:
    """A decision with the numbers behind it; without numbers it is NOT_INSPECTED.

    `defect_class` is None where the part is accepted or was not inspected.
    """

    decision: Decision
    defect_class: str | None = None
    defect_probability: float | None = None
    scores: tuple[ClassScore, ...] = ()
    standing: Standing | None = None
    remarks: tuple[str, ...] = ()
    likeliest_defect: str | None = None


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
    return held(_by_thresholds(probabilities, recipe), recipe.standing)


def judge_opinion(opinion: Opinion, recipe: Recipe) -> Judgement:
    """The judgement on one part from the opinion of what the recipe was taught.

    Raises FrameUnfit where the opinion is that the picture cannot be judged.
    """
    if opinion.not_judged is not None:
        raise FrameUnfit(
            opinion.not_judged, hint="look at the camera, its light, and which part lies before it"
        )
    judgement = held(_by_thresholds(_of_opinion(opinion, recipe), recipe), recipe.standing)
    if judgement.decision is Decision.ACCEPT and opinion.is_doubtful:
        return _reviewed(
            judgement,
            f"the opinions on this part differ by {opinion.disagreement:.2f}, as on no good part before",
        )
    return judgement


def held(judgement: Judgement, standing: Standing) -> Judgement:
    """The judgement as far as the recipe's standing lets it pass.

    What was not measured decides nothing: an untaught recipe gives REVIEW, and one whose escape rate has no
    bound accepts nothing.
    """
    if standing is Standing.UNTAUGHT:
        return _reviewed(judgement, "the recipe is untaught: nothing was measured on this part")
    if judgement.decision is Decision.ACCEPT and not standing.may_accept:
        return _reviewed(judgement, "the recipe is learning: its escape rate has no useful bound yet")
    return judgement


def _reviewed(judgement: Judgement, remark: str) -> Judgement:
    likeliest = judgement.likeliest_defect
    return replace(
        judgement, decision=Decision.REVIEW, defect_class=likeliest, remarks=(*judgement.remarks, remark)
    )


def _of_opinion(opinion: Opinion, recipe: Recipe) -> tuple[float, ...]:
    """Probabilities in the recipe's order; of an anomaly without a name each defect has its share."""
    said = opinion.probabilities
    defects = [klass.name for klass in recipe.classes if not klass.acceptable]
    shared = said.get(ANOMALY, 0.0) / len(defects)
    shares = {name: shared for name in defects if ANOMALY in said}
    return tuple(said.get(klass.name, 0.0) + shares.get(klass.name, 0.0) for klass in recipe.classes)


def _by_thresholds(probabilities: Sequence[float], recipe: Recipe) -> Judgement:
    scored = tuple(zip(recipe.classes, probabilities, strict=True))
    defects = [(probability, klass.name) for klass, probability in scored if not klass.acceptable]
    # A sum of shares of one may come out a rounding error above one, which the schema refuses.
    defect_probability = min(1.0, math.fsum(probability for probability, _ in defects))
    decision = decide(defect_probability, recipe.thresholds)
    likeliest = max(defects, key=lambda defect: defect[0])[1]
    return Judgement(
        decision=decision,
        defect_class=None if decision is Decision.ACCEPT else likeliest,
        defect_probability=defect_probability,
        scores=tuple(ClassScore(name=klass.name, probability=value) for klass, value in scored),
        standing=recipe.standing,
        likeliest_defect=likeliest,
    )


def verdict_on(
    job: InspectionJob,
    judgement: Judgement,
    versions: Versions,
    times: ProcessingTimes,
    *,
    problem: Problem | None = None,
    anomaly_map: AnomalyMap | None = None,
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
        standing=judgement.standing,
        remarks=judgement.remarks,
        anomaly_map=anomaly_map,
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
