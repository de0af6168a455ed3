"""The tables of the results database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Connection,
    DateTime,
    Dialect,
    Index,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 2


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


def _partial_index(name: str, condition: str) -> Index:
    """An index in the order of pages over the rows that satisfy a condition."""
    only = text(condition)
    return Index(name, "creation_time", "result_id", sqlite_where=only, postgresql_where=only)


class ResultRow(Base):
    """One part's result: what pages filter and sort by as columns, the messages as their JSON."""

    __tablename__ = "results"

    result_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    creation_time: Mapped[datetime] = mapped_column(UtcDateTime)
    station_id: Mapped[str] = mapped_column(String(128))
    camera_id: Mapped[str | None] = mapped_column(String(128))
    recipe_id: Mapped[str] = mapped_column(String(128))
    part_id: Mapped[str] = mapped_column(String(128))
    lot_id: Mapped[str | None] = mapped_column(String(128))
    job_id: Mapped[str | None] = mapped_column(String(128))
    decision: Mapped[str] = mapped_column(String(16))
    defect_class: Mapped[str | None] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(Text)
    report: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    signature: Mapped[str | None] = mapped_column(Text)
    awaits_review: Mapped[bool] = mapped_column(Boolean, server_default=false())
    verification: Mapped[str | None] = mapped_column(String(24))
    """What the last review says, for filters; the reviews themselves are the truth."""

    __table_args__ = (
        Index("results_by_time", "creation_time", "result_id"),
        Index("results_by_station", "station_id", "creation_time"),
        Index("results_by_part", "part_id"),
        Index("results_by_lot", "lot_id"),
        Index("results_by_job", "job_id"),
        _partial_index("results_to_review", "awaits_review"),
        _partial_index("results_to_sign", "report IS NOT NULL AND signature IS NULL"),
    )


class ReviewRow(Base):
    """One decision of a person on one result; rows are added and never changed."""

    __tablename__ = "reviews"

    result_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    reviewed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reviewer: Mapped[str] = mapped_column(String(100))
    verification: Mapped[str] = mapped_column(String(24))
    reason: Mapped[str | None] = mapped_column(String(24))
    review: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("reviews_by_time", "reviewed_at"),)


class ReviewLeaseRow(Base):
    """Who has a part before them, and until when nobody else gets it."""

    __tablename__ = "review_leases"

    result_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    holder: Mapped[str] = mapped_column(String(128))
    until: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (Index("review_leases_by_holder", "holder"),)


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
