"""How the tables of the results database come to be, and how those of an older version become today's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, inspect, select, text, update
from sqlalchemy.schema import CreateIndex, CreateTable

from schemas.verdict import Verdict
from services.infra.process.errors import DatabaseVersionMismatch
from services.infra.stores.results.rows import ASKS_A_PERSON
from services.infra.stores.results.schema import (
    SCHEMA_VERSION,
    Base,
    ResultRow,
    SchemaVersionRow,
    insert_if_absent,
)

# Any constant will do, as long as every process of ours asks for the same one.
_CREATION_LOCK = 5_963_826

ASKED_BACK_DAYS = 30
"""Older parts that nobody reviewed before there were reviews stay so; most of their pictures are gone."""

_ROWS_AT_ONCE = 1000


def create_tables(connection: Connection) -> None:
    """Create what is missing and bring older tables up to date; processes do it one after the other.

    Raises DatabaseVersionMismatch for tables of a version that this program does not know.
    """
    if connection.dialect.name == "postgresql":
        # Bringing a million rows up to date takes longer than any other statement may.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})
    else:
        # The driver opens no transaction for what changes tables.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    found = _version(connection)
    if found not in {None, SCHEMA_VERSION, *MIGRATIONS}:
        raise DatabaseVersionMismatch(
            f"the database holds tables of version {found}; this program reads version {SCHEMA_VERSION}",
            hint="run the version of the program that made them, or point LYNCEUS_DATABASE_URL elsewhere",
        )
    if found is not None:
        for version in range(found, SCHEMA_VERSION):
            MIGRATIONS[version](connection)
    for table in Base.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
    insert_if_absent(connection, SchemaVersionRow, "id", [{"id": 1, "version": SCHEMA_VERSION}])
    connection.execute(update(SchemaVersionRow).values(version=SCHEMA_VERSION))


def _version(connection: Connection) -> int | None:
    """The version of the tables that are there; None for an empty database."""
    if not inspect(connection).has_table(SchemaVersionRow.__tablename__):
        return None
    return connection.execute(select(SchemaVersionRow.version)).scalar_one_or_none()


def _to_version_2(connection: Connection) -> None:
    """Cameras, orders and reviews: columns that the verdicts fill."""
    for column in ("camera_id VARCHAR(128)", "job_id VARCHAR(128)", "verification VARCHAR(24)"):
        connection.execute(text(f"ALTER TABLE results ADD COLUMN {column}"))
    connection.execute(text("ALTER TABLE results ADD COLUMN awaits_review BOOLEAN NOT NULL DEFAULT false"))
    change = (
        update(ResultRow)
        .where(ResultRow.result_id == bindparam("id"))
        .values(camera_id=bindparam("camera"), job_id=bindparam("job"), awaits_review=bindparam("awaits"))
    )
    last = ""
    asked_since = datetime.now(UTC) - timedelta(days=ASKED_BACK_DAYS)
    wanted = select(ResultRow.result_id, ResultRow.verdict, ResultRow.signature)
    while rows := connection.execute(
        wanted.where(ResultRow.result_id > last).order_by(ResultRow.result_id).limit(_ROWS_AT_ONCE)
    ).all():
        values = []
        for result_id, stored, signature in rows:
            verdict = Verdict.model_validate_json(stored)
            is_asked = verdict.decision in ASKS_A_PERSON and verdict.creation_time >= asked_since
            values.append(
                {
                    "id": result_id,
                    "camera": verdict.part.camera_id,
                    "job": verdict.job_id,
                    "awaits": is_asked and signature is None,
                }
            )
        connection.execute(change, values)
        last = rows[-1][0]


MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: _to_version_2}
"""What brings tables of a version to the next one."""
