"""The tables of the results database, and how they come to be."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Dialect, Index, String, Text, TypeDecorator, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable

from services.infra.process.errors import DatabaseVersionMismatch

SCHEMA_VERSION = 1

# Any constant will do, as long as every process of ours asks for the same one.
_CREATION_LOCK = 5_963_826


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: `timestamptz` on PostgreSQL, ISO text on SQLite, which knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC for the database; naive where it cannot keep a zone."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The aware moment again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The tables of this database."""


class ResultRow(Base):
    """One part's result: what pages filter and sort by as columns, the messages as their JSON."""

    __tablename__ = "results"

    result_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    creation_time: Mapped[datetime] = mapped_column(UtcDateTime)
    station_id: Mapped[str] = mapped_column(String(128))
    recipe_id: Mapped[str] = mapped_column(String(128))
    part_id: Mapped[str] = mapped_column(String(128))
    lot_id: Mapped[str | None] = mapped_column(String(128))
    decision: Mapped[str] = mapped_column(String(16))
    defect_class: Mapped[str | None] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(Text)
    report: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    signature: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("results_by_time", "creation_time", "result_id"),
        Index("results_by_station", "station_id", "creation_time"),
        Index("results_by_part", "part_id"),
        Index("results_by_lot", "lot_id"),
    )


class SchemaVersionRow(Base):
    """The one row that says which version of these tables the database holds."""

    __tablename__ = "schema_version"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


def insert_if_absent(
    connection: Connection, row: type[Base], key: str, values: Sequence[dict[str, Any]]
) -> None:
    """Insert each of the rows, of which there must be one, unless its key is there already."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(row).on_conflict_do_nothing(index_elements=[key]), values)


def create_tables(connection: Connection) -> None:
    """Create what is missing; processes that start together do it one after the other.

    Raises DatabaseVersionMismatch for tables of another version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})
    for table in Base.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
    insert_if_absent(connection, SchemaVersionRow, "id", [{"id": 1, "version": SCHEMA_VERSION}])
    found = connection.execute(select(SchemaVersionRow.version)).scalar_one()
    if found != SCHEMA_VERSION:
        raise DatabaseVersionMismatch(
            f"the database holds tables of version {found}; this program reads version {SCHEMA_VERSION}",
            hint="run the version of the program that made them, or point LYNCEUS_DATABASE_URL elsewhere",
        )
