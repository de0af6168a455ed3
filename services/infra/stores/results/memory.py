"""The results database in this process, for tests and tools."""

import threading
from collections.abc import Sequence

from schemas.problem import Problem
from schemas.report import DiagnosisReport, ReportState
from schemas.verdict import Verdict
from services.infra.process.errors import AlreadySigned, NotFound
from services.infra.stores.results.cursor import checked_limit, place, read_cursor, write_cursor
from services.infra.stores.results.port import Page, ResultFilters, Signature, StoredResult


class MemoryResults:
    """See ResultStore."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, StoredResult] = {}

    def save_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """See ResultStore.save_verdicts."""
        with self._lock:
            for verdict in verdicts:
                self._rows.setdefault(verdict.result_id, StoredResult(verdict=verdict))

    def save_report(self, report: DiagnosisReport) -> None:
        """See ResultStore.save_report."""
        with self._lock:
            row = self.get(report.result_id)
            if row.report is None:
                self._rows[report.result_id] = row.model_copy(update={"report": report})

    def save_problem(self, result_id: str, problem: Problem) -> None:
        """See ResultStore.save_problem."""
        with self._lock:
            row = self.get(result_id)
            if row.problem is None:
                self._rows[result_id] = row.model_copy(update={"problem": problem})

    def get(self, result_id: str) -> StoredResult:
        """See ResultStore.get."""
        with self._lock:
            if result_id not in self._rows:
                raise no_result(result_id)
            return self._rows[result_id]

    def report(self, result_id: str) -> DiagnosisReport:
        """See ResultStore.report."""
        row = self.get(result_id)
        if row.report is None:
            raise no_report(result_id)
        return row.report

    def page(self, filters: ResultFilters, cursor: str | None, limit: int) -> Page:
        """See ResultStore.page."""
        checked_limit(limit)
        start = read_cursor(cursor) if cursor is not None else None
        with self._lock:
            rows = [row for row in self._rows.values() if _matches(row.verdict, filters)]
        rows.sort(key=lambda row: place(row.verdict), reverse=True)
        if start is not None:
            rows = [row for row in rows if place(row.verdict) < start]
        return page_of(rows, limit)

    def sign(self, result_id: str, signature: Signature) -> DiagnosisReport:
        """See ResultStore.sign."""
        with self._lock:
            row, report = self.get(result_id), self.report(result_id)
            if row.signature is not None:
                if not signature.repeats(row.signature):
                    raise already_signed(result_id, row.signature)
                return report
            signed = report.model_copy(update={"state": ReportState.SIGNED})
            self._rows[result_id] = row.model_copy(update={"report": signed, "signature": signature})
            return signed


def page_of(rows: list[StoredResult], limit: int) -> Page:
    """The first `limit` of the rows, with a cursor when more follow."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(tuple(shown), write_cursor(place(shown[-1].verdict)) if more else None)


def no_result(result_id: str) -> NotFound:
    """The error for an id without a stored result."""
    return NotFound(
        f"no result is stored for {result_id!r}", hint="check the id; a job still at work has no result yet"
    )


def no_report(result_id: str) -> NotFound:
    """The error for a result without a report."""
    return NotFound(
        f"no report is stored for {result_id!r}", hint="only parts that the recipe escalates get a report"
    )


def already_signed(result_id: str, signature: Signature) -> AlreadySigned:
    """The error for a second signature."""
    moment = f"{signature.signed_at:%Y-%m-%d %H:%M:%S} UTC"
    return AlreadySigned(
        f"the report on {result_id!r} was signed by {signature.signed_by} on {moment}",
        hint="a signed report does not change; submit the part again for a new one",
    )


def _matches(verdict: Verdict, filters: ResultFilters) -> bool:
    part = verdict.part
    wanted = (
        (filters.station, part.station_id),
        (filters.recipe, part.recipe_id),
        (filters.part_id, part.part_id),
        (filters.lot_id, part.lot_id),
        (filters.decision, verdict.decision),
        (filters.defect_class, verdict.defect_class),
    )
    return (
        all(value is None or value == found for value, found in wanted)
        and (filters.since is None or verdict.creation_time >= filters.since)
        and (filters.until is None or verdict.creation_time < filters.until)
    )
