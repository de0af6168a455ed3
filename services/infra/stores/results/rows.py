"""How a result becomes a row, and a row a result again."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from schemas.base import Message
from schemas.problem import Problem
from schemas.report import DiagnosisReport, ReportState
from schemas.verdict import Decision, Verdict
from services.infra.stores.results.errors import no_result
from services.infra.stores.results.records import ResultFilters, Signature, StoredResult
from services.infra.stores.results.reviews import VerificationState
from services.infra.stores.results.schema import ResultRow

ASKS_A_PERSON = frozenset({Decision.REVIEW, Decision.REJECT})
"""The decisions that a person is asked about, whatever the sample."""

Kind = TypeVar("Kind", bound=Message)


def columns_of(verdict: Verdict, *, is_sampled: bool) -> dict[str, Any]:
    """The row of a verdict; `is_sampled` when a person shall look at it although it was accepted."""
    return {
        "result_id": verdict.result_id,
        "creation_time": verdict.creation_time,
        "station_id": verdict.part.station_id,
        "camera_id": verdict.part.camera_id,
        "recipe_id": verdict.part.recipe_id,
        "part_id": verdict.part.part_id,
        "lot_id": verdict.part.lot_id,
        "job_id": verdict.job_id,
        "decision": verdict.decision.value,
        "defect_class": verdict.defect_class,
        "awaits_review": verdict.decision in ASKS_A_PERSON or is_sampled,
        "verdict": verdict.model_dump_json(),
    }


def conditions_of(filters: ResultFilters) -> list[ColumnElement[bool]]:
    """What a row must satisfy to pass the filters."""
    equal = (
        (ResultRow.station_id, filters.station),
        (ResultRow.camera_id, filters.camera),
        (ResultRow.recipe_id, filters.recipe),
        (ResultRow.part_id, filters.part_id),
        (ResultRow.lot_id, filters.lot_id),
        (ResultRow.job_id, filters.job_id),
        (ResultRow.decision, filters.decision),
        (ResultRow.defect_class, filters.defect_class),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.verification is VerificationState.NOT_VERIFIED_YET:
        conditions.append(ResultRow.verification.is_(None))
    elif filters.verification is not None:
        conditions.append(ResultRow.verification == filters.verification)
    if filters.since is not None:
        conditions.append(ResultRow.creation_time >= filters.since)
    if filters.until is not None:
        conditions.append(ResultRow.creation_time < filters.until)
    for column, is_set in (
        (ResultRow.report, filters.has_report),
        (ResultRow.signature, filters.is_signed),
    ):
        if is_set is not None:
            conditions.append(column.is_not(None) if is_set else column.is_(None))
    return conditions


def get_result(connection: Connection, result_id: str) -> StoredResult:
    """One result. Raises NotFound."""
    wanted = select(ResultRow.__table__).where(ResultRow.result_id == result_id)
    row = connection.execute(wanted).mappings().one_or_none()
    if row is None:
        raise no_result(result_id)
    return result_of(row)


def result_of(row: RowMapping) -> StoredResult:
    """The result that a whole row holds. Raises ValidationError for a row of another version."""
    signature = _message(Signature, row["signature"])
    report = _message(DiagnosisReport, row["report"])
    if report is not None and signature is not None:
        report = report.model_copy(update={"state": ReportState.SIGNED})
    return StoredResult(
        verdict=Verdict.model_validate_json(row["verdict"]),
        report=report,
        problem=_message(Problem, row["problem"]),
        signature=signature,
        verification=VerificationState(row["verification"] or VerificationState.NOT_VERIFIED_YET),
    )


def _message(kind: type[Kind], stored: str | None) -> Kind | None:
    return None if stored is None else kind.model_validate_json(stored)
