"""Finds what is known of a result: in the ledger while the job is live, in the database after that."""

from dataclasses import dataclass

from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.api.ports import Ports
from services.infra.process.errors import FrameMissing, NotFound, StoreUnavailable
from services.infra.stores.archive import Archive
from services.infra.stores.ledger import JobState, Stage
from services.infra.stores.results import Signature, StoredResult


@dataclass(frozen=True, slots=True)
class Known:
    """One result, wherever it was found."""

    result_id: str
    stage: Stage
    part: PartIdentity
    frame: FrameRef
    verdict: Verdict | None
    report: DiagnosisReport | None
    problem: Problem | None
    signature: Signature | None = None


def find(ports: Ports, result_id: str) -> Known:
    """What is known of the result. Raises NotFound, StoreUnavailable.

    The database is asked first for the signature's sake: only there does a report become SIGNED.
    """
    state = ports.ledger.jobs.state(result_id)
    if state is not None and not state.stage.is_final:
        return _live(state)
    try:
        return _stored(ports.results.get(result_id), state)
    except (NotFound, StoreUnavailable) as error:
        if state is not None:
            return _live(state)
        if isinstance(error, StoreUnavailable):
            raise
        raise _unknown(result_id) from error


def _live(state: JobState) -> Known:
    job = state.job
    return Known(job.result_id, state.stage, job.part, job.frame, state.verdict, state.report, state.problem)


def _stored(row: StoredResult, state: JobState | None) -> Known:
    verdict = row.verdict
    stage = state.stage if state is not None else _stage(row)
    report = row.report or (state.report if state is not None else None)
    problem = row.problem or (state.problem if state is not None else None)
    return Known(
        verdict.result_id, stage, verdict.part, verdict.frame, verdict, report, problem, row.signature
    )


def _stage(row: StoredResult) -> Stage:
    if row.report is not None:
        return Stage.REPORTED
    return Stage.DEAD if row.problem is not None else Stage.DECIDED


def _unknown(result_id: str) -> NotFound:
    return NotFound(
        f"nothing is known of result {result_id!r}",
        hint="use the result_id that POST /v1/inspections answered, or look it up in GET /v1/results",
    )


def image_of(ports: Ports, known: Known) -> bytes:
    """The encoded image of a result, from the frame store or the archive.

    Raises FrameMissing when the recipe's retention dropped it, StoreUnavailable.
    """
    try:
        return ports.frames.get(known.result_id)
    except FrameMissing:
        if known.verdict is None:
            raise
        return Archive(ports.settings.archive_dir).get(known.verdict)
