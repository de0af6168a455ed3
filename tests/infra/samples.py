"""Jobs, verdicts and reports to put through the stores."""

from datetime import UTC, datetime, timedelta

from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import Cause, Diagnosis, DiagnosisReport
from schemas.verdict import ClassScore, Decision, ProcessingTimes, Verdict, Versions

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32
PROBLEM = Problem(
    type="/problems/engine-failed", title="Engine failed", status=500, detail="it did", code="engine-failed"
)

_FRAME = FrameRef(
    digest=DIGEST, media_type="image/png", width=64, height=48, size_bytes=1000, captured_at=MOMENT
)
_TIMES = ProcessingTimes(start_time=MOMENT, end_time=MOMENT, queue_ms=1.0, decode_ms=2.0, engine_ms=3.0)
_VERSIONS = Versions(code_version="0.1.0", model_name="tiny", model_digest=DIGEST, recipe_digest=DIGEST)


def part(
    part_id: str = "part-1", station_id: str = "station-1", lot_id: str | None = "lot-1"
) -> PartIdentity:
    """A part under recipe `surface`."""
    return PartIdentity(
        part_id=part_id,
        lot_id=lot_id,
        station_id=station_id,
        camera_id="camera-1",
        recipe_id="surface",
        recipe_version=1,
    )


def job(result_id: str = "result-1") -> InspectionJob:
    """A job that waits for its verdict."""
    return InspectionJob(
        result_id=result_id,
        job_id=result_id,
        part=part(),
        frame=_FRAME,
        creation_time=MOMENT,
        deadline=MOMENT + timedelta(seconds=5),
    )


def verdict(
    result_id: str = "result-1",
    decision: Decision = Decision.REJECT,
    *,
    of: PartIdentity | None = None,
    moment: datetime = MOMENT,
) -> Verdict:
    """A verdict of the given kind."""
    is_judged = decision is not Decision.NOT_INSPECTED
    is_bad = decision in {Decision.REVIEW, Decision.REJECT}
    good, scratch = (0.1, 0.9) if is_bad else (0.9, 0.1)
    return Verdict(
        result_id=result_id,
        job_id=result_id,
        part=of or part(),
        frame=_FRAME,
        decision=decision,
        defect_class="scratch" if is_bad else None,
        defect_probability=scratch if is_judged else None,
        scores=(
            (ClassScore(name="good", probability=good), ClassScore(name="scratch", probability=scratch))
            if is_judged
            else ()
        ),
        problem=None if is_judged else PROBLEM,
        versions=_VERSIONS,
        processing_times=_TIMES,
        creation_time=moment,
    )


def diagnosis(result_id: str = "result-1") -> DiagnosisJob:
    """A job that waits for its report."""
    return DiagnosisJob(
        result_id=result_id,
        job_id=result_id,
        part=part(),
        frame=_FRAME,
        verdict=verdict(result_id),
        creation_time=MOMENT,
    )


def report(result_id: str = "result-1") -> DiagnosisReport:
    """A report that nobody signed yet."""
    return DiagnosisReport(
        result_id=result_id,
        job_id=result_id,
        part=part(),
        frame=_FRAME,
        decision=Decision.REJECT,
        defect_class="scratch",
        diagnosis=Diagnosis(
            defect="scratch",
            where="upper left",
            severity="minor",
            evidence=("a thin bright line",),
            probable_causes=(Cause(cause="handling", likelihood="medium"),),
            containment="set the lot aside",
            corrective_actions=("pad the tray",),
        ),
        reasoning="I see a thin bright line.",
        versions=_VERSIONS,
        processing_times=_TIMES,
        creation_time=MOMENT,
    )
