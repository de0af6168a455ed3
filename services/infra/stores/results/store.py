"""The results database in SQL: SQLite in WAL mode by default, PostgreSQL by its URL."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    create_engine,
    event,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from schemas.base import Message
from schemas.problem import Problem
from schemas.report import DiagnosisReport, ReportState
from schemas.verdict import Verdict
from services.infra.process.errors import RecordInvalid, SettingsInvalid, StoreFull, StoreUnavailable
from services.infra.stores.results.cursor import checked_limit, page_of, read_cursor
from services.infra.stores.results.errors import already_signed, no_report, no_result
from services.infra.stores.results.records import Page, ResultFilters, Signature, StoredResult
from services.infra.stores.results.schema import ResultRow, create_tables, insert_if_absent

BUSY_TIMEOUT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 5

Kind = TypeVar("Kind", bound=Message)


class ResultStore:
    """See ResultStore. Connects, and creates its tables, on first use."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = _engine(self._url)
        self._lock = threading.Lock()
        self._is_ready = False

    def save_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Keep each verdict, if none is kept under its result id: all of them are kept, or none is."""
        if not verdicts:
            return
        # In the order of their keys: so two result writers with the same rows never wait for each other.
        rows = sorted(map(_columns, verdicts), key=itemgetter("result_id"))
        with self._transaction() as connection:
            insert_if_absent(connection, ResultRow, "result_id", rows)

    def save_report(self, report: DiagnosisReport) -> None:
        """Keep a report, if none is kept. Raises NotFound when its verdict is not kept yet."""
        self._set_if_absent(report.result_id, ResultRow.report, report)

    def save_problem(self, result_id: str, problem: Problem) -> None:
        """Keep why a report was given up, if nothing is kept. Raises NotFound as save_report does."""
        self._set_if_absent(result_id, ResultRow.problem, problem)

    def get(self, result_id: str) -> StoredResult:
        """One result. Raises NotFound."""
        with self._transaction() as connection:
            return _get(connection, result_id)

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
        wanted = select(ResultRow.__table__).where(*_conditions(filters)).limit(checked_limit(limit) + 1)
        wanted = wanted.order_by(ResultRow.creation_time.desc(), ResultRow.result_id.desc())
        if cursor is not None:
            wanted = wanted.where(order < read_cursor(cursor))
        with self._transaction() as connection:
            rows = [_stored(row) for row in connection.execute(wanted).mappings()]
        return page_of(rows, limit)

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
        self._engine.dispose()

    def _set_if_absent(self, result_id: str, column: Any, message: Message) -> None:  # noqa: ANN401
        change = update(ResultRow).where(ResultRow.result_id == result_id, column.is_(None))
        with self._transaction() as connection:
            done = connection.execute(change.values({column: message.model_dump_json()}))
            if done.rowcount == 0:
                _get(connection, result_id)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _typed_errors(self._url):
            self._make_ready()
            with self._engine.begin() as connection:
                yield connection

    def _make_ready(self) -> None:
        with self._lock:
            if self._is_ready:
                return
            if self._url.get_backend_name() == "sqlite" and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                create_tables(connection)
            self._is_ready = True


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, SQLAlchemyError) as error:
        raise SettingsInvalid(
            f"LYNCEUS_DATABASE_URL names no database that can be used: {error}",
            hint="write sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database",
        ) from error
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS}
        )
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # The result writer forgets a result once it is stored, so a stored one must survive a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _columns(verdict: Verdict) -> dict[str, Any]:
    return {
        "result_id": verdict.result_id,
        "creation_time": verdict.creation_time,
        "station_id": verdict.part.station_id,
        "recipe_id": verdict.part.recipe_id,
        "part_id": verdict.part.part_id,
        "lot_id": verdict.part.lot_id,
        "decision": verdict.decision.value,
        "defect_class": verdict.defect_class,
        "verdict": verdict.model_dump_json(),
    }


def _conditions(filters: ResultFilters) -> list[ColumnElement[bool]]:
    equal = (
        (ResultRow.station_id, filters.station),
        (ResultRow.recipe_id, filters.recipe),
        (ResultRow.part_id, filters.part_id),
        (ResultRow.lot_id, filters.lot_id),
        (ResultRow.decision, filters.decision),
        (ResultRow.defect_class, filters.defect_class),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.since is not None:
        conditions.append(ResultRow.creation_time >= filters.since)
    if filters.until is not None:
        conditions.append(ResultRow.creation_time < filters.until)
    return conditions


def _get(connection: Connection, result_id: str) -> StoredResult:
    wanted = select(ResultRow.__table__).where(ResultRow.result_id == result_id)
    row = connection.execute(wanted).mappings().one_or_none()
    if row is None:
        raise no_result(result_id)
    return _stored(row)


def _stored(row: RowMapping) -> StoredResult:
    signature = _message(Signature, row["signature"])
    report = _message(DiagnosisReport, row["report"])
    if report is not None and signature is not None:
        report = report.model_copy(update={"state": ReportState.SIGNED})
    return StoredResult(
        verdict=Verdict.model_validate_json(row["verdict"]),
        report=report,
        problem=_message(Problem, row["problem"]),
        signature=signature,
    )


def _message(kind: type[Kind], stored: str | None) -> Kind | None:
    return None if stored is None else kind.model_validate_json(stored)


@contextmanager
def _typed_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RecordInvalid(
            f"a row of {url.render_as_string()} cannot be read: {error}",
            hint="it was written by another version; read it with that version",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        if "is full" in str(error) or "No space left" in str(error):
            raise StoreFull(f"{url.render_as_string()} is full: {error}", hint="free disk space") from error
        raise StoreUnavailable(
            f"{url.render_as_string()} does not serve: {error}",
            hint="check that the database runs and is reachable",
        ) from error
