"""Builds the verdict on a part, and the diagnosis it asks for."""

from datetime import UTC, datetime

from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.recipe import Recipe
from schemas.verdict import Decision, ProcessingTimes, Verdict, Versions
from worker.calibration import Judgement


def judged(job: InspectionJob, judgement: Judgement, versions: Versions, times: ProcessingTimes) -> Verdict:
    """ACCEPT, REVIEW or REJECT with the numbers behind it."""
    return Verdict(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        decision=judgement.decision,
        defect_class=judgement.defect_class,
        defect_probability=judgement.defect_probability,
        scores=judgement.scores,
        versions=versions,
        processing_times=times,
        creation_time=datetime.now(UTC),
        is_simulated=job.is_simulated,
        is_partial=job.is_partial,
    )


def not_inspected(
    job: InspectionJob, problem: Problem, versions: Versions, times: ProcessingTimes
) -> Verdict:
    """NOT_INSPECTED with the reason; the line must treat the part as rejected."""
    return Verdict(
        result_id=job.result_id,
        job_id=job.job_id,
        part=job.part,
        frame=job.frame,
        decision=Decision.NOT_INSPECTED,
        defect_class=None,
        defect_probability=None,
        scores=(),
        problem=problem,
        versions=versions,
        processing_times=times,
        creation_time=datetime.now(UTC),
        is_simulated=job.is_simulated,
        is_partial=job.is_partial,
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
