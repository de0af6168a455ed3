"""The results database in SQL: SQLite in WAL mode by default, PostgreSQL by its URL."""

from collections.abc import Container, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import func, select, tuple_, update

from schemas.base import Message
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, Verdict
from services.infra.stores.results.cursor import checked_limit, page_of, read_cursor
from services.infra.stores.results.database import Database
from services.infra.stores.results.errors import already_signed, no_report
from services.infra.stores.results.records import Page, ResultFilters, Signature, StoredResult, Tally
from services.infra.stores.results.review_store import ReviewStore
from services.infra.stores.results.rows import columns_of, conditions_of, get_result, result_of
from services.infra.stores.results.schema import ResultRow, insert_if_absent


class ResultStore:
    """The results, and in `reviews` what people decided on them."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.reviews = ReviewStore(self._database)

    def save_verdicts(self, verdicts: Sequence[Verdict], sampled: Container[str] = ()) -> None:
        """Keep each verdict, if none is kept under its result id: all of them are kept, or none is.

        `sampled` are the result ids of accepted parts that a person shall look at all the same.
        """
        if not verdicts:
            return
        # In the order of their keys: so two result writers with the same rows never wait for each other.
        rows = [columns_of(each, is_sampled=each.result_id in sampled) for each in verdicts]
        rows.sort(key=itemgetter("result_id"))
        with self._database.transaction() as connection:
            insert_if_absent(connection, ResultRow, "result_id", rows)

    def save_report(self, report: DiagnosisReport) -> None:
        """Keep a report, if none is kept. Raises NotFound when its verdict is not kept yet."""
        self._set_if_absent(report.result_id, ResultRow.report, report)

    def save_problem(self, result_id: str, problem: Problem) -> None:
        """Keep why a report was given up, if nothing is kept. Raises NotFound as save_report does."""
        self._set_if_absent(result_id, ResultRow.problem, problem)

    def get(self, result_id: str) -> StoredResult:
        """One result. Raises NotFound."""
        with self._database.transaction() as connection:
            return get_result(connection, result_id)

    def report(self, result_id: str) -> DiagnosisReport:
        """One report; its state is SIGNED once a person signed. Raises NotFound."""
        report = self.get(result_id).report
        if report is None:
            raise no_report(result_id)
        return report

    def page(self, filters: ResultFilters, cursor: str | None, limit: int) -> Page:
        """Results newest first, at most `limit` (1 to 500), from a cursor that an earlier page gave.

        Raises BadRequest for a cursor or limit that is none.
        """
        order = tuple_(ResultRow.creation_time, ResultRow.result_id)
        wanted = select(ResultRow.__table__).where(*conditions_of(filters)).limit(checked_limit(limit) + 1)
        wanted = wanted.order_by(ResultRow.creation_time.desc(), ResultRow.result_id.desc())
        if cursor is not None:
            wanted = wanted.where(order < read_cursor(cursor))
        with self._database.transaction() as connection:
            rows = [result_of(row) for row in connection.execute(wanted).mappings()]
        return page_of(rows, limit)

    def tallies(self, since: datetime) -> tuple[Tally, ...]:
        """How many verdicts each station has had since a moment, by decision; stations in order."""
        counted = (
            select(ResultRow.station_id, ResultRow.decision, func.count())
            .where(ResultRow.creation_time >= since)
            .group_by(ResultRow.station_id, ResultRow.decision)
        )
        found: dict[str, dict[Decision, int]] = {}
        with self._database.transaction() as connection:
            for station, decision, count in connection.execute(counted):
                found.setdefault(station, {})[Decision(decision)] = count
        return tuple(Tally(station, found[station]) for station in sorted(found))

    def sign(self, result_id: str, signature: Signature) -> DiagnosisReport:
        """Sign a report; who says the same again changes nothing, and the first moment stays.

        Raises NotFound, and AlreadySigned for another name or remark than those kept.
        """
        self.report(result_id)
        self._set_if_absent(result_id, ResultRow.signature, signature)
        row = self.get(result_id)
        if row.signature is not None and not signature.repeats(row.signature):
            raise already_signed(result_id, row.signature)
        return self.report(result_id)

    def close(self) -> None:
        """Give the connections back to the database."""
        self._database.close()

    def _set_if_absent(self, result_id: str, column: Any, message: Message) -> None:  # noqa: ANN401
        change = update(ResultRow).where(ResultRow.result_id == result_id, column.is_(None))
        with self._database.transaction() as connection:
            done = connection.execute(change.values({column: message.model_dump_json()}))
            if done.rowcount == 0:
                get_result(connection, result_id)
