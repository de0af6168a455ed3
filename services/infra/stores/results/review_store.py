"""What people decided, and which part is before whom."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from schemas.base import Identifier
from services.infra.process.errors import AlreadyReviewed
from services.infra.stores.results.cursor import Place
from services.infra.stores.results.database import Database
from services.infra.stores.results.records import StoredResult
from services.infra.stores.results.reviews import (
    HeldBefore,
    Holder,
    ReasonCode,
    Review,
    ReviewDraft,
    VerificationState,
)
from services.infra.stores.results.rows import get_result, result_of
from services.infra.stores.results.schema import (
    ResultRow,
    ReviewLeaseRow,
    ReviewRow,
)

LEASE = timedelta(minutes=5)
"""How long a part stays before one person before others get it."""

TRIES = 5
"""How many parts one claim tries while others claim beside it."""


class ReviewStore:
    """Reviews are added and never changed; a part is before one person at a time.

    Methods raise StoreUnavailable when the database is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, result_id: Identifier) -> tuple[Review, ...]:
        """The reviews of a result, first one first. Raises NotFound."""
        with self._database.transaction() as connection:
            get_result(connection, result_id)
            return tuple(_reviews(connection, result_id))

    def add(self, result_id: Identifier, draft: ReviewDraft, holder: Holder) -> Review:
        """Keep one decision, and free the part for whoever it concerns next.

        Raises NotFound, and AlreadyReviewed when somebody decided meanwhile or has the part before them.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as connection:
            _drop_late_leases(connection, now)
            result = get_result(connection, result_id)
            _make_sure_it_is_free(connection, result_id, holder)
            seen = list(_reviews(connection, result_id))
            if len(seen) != draft.follows:
                raise _overtaken(result_id, seen)
            review = Review(
                **draft.model_dump(),
                result_id=result_id,
                number=len(seen) + 1,
                reviewed_at=now,
                before=_held(result, seen),
            )
            _insert(connection, review)
            connection.execute(delete(ReviewLeaseRow).where(ReviewLeaseRow.result_id == result_id))
        return review

    def claim(
        self, holder: Holder, reviewer: str, *, station: str | None = None, after: Place | None = None
    ) -> StoredResult | None:
        """The oldest part that awaits a person, now before this one; None when nothing waits.

        What the holder had before them is free again. A part of which this reviewer said that they cannot
        tell is left to others. `after` skips what stands up to a place.
        """
        now = datetime.now(UTC)
        with self._database.transaction() as connection:
            _drop_late_leases(connection, now)
            connection.execute(delete(ReviewLeaseRow).where(ReviewLeaseRow.holder == holder))
            for row in connection.execute(_waiting(reviewer, station, after).limit(TRIES)).mappings():
                if _take(connection, row["result_id"], holder, now):
                    return result_of(row)
        return None

    def claim_one(self, result_id: Identifier, holder: Holder) -> StoredResult:
        """This very part, now before this person. Raises NotFound, AlreadyReviewed when another has it."""
        now = datetime.now(UTC)
        with self._database.transaction() as connection:
            _drop_late_leases(connection, now)
            connection.execute(delete(ReviewLeaseRow).where(ReviewLeaseRow.holder == holder))
            result = get_result(connection, result_id)
            if not _take(connection, result_id, holder, now):
                raise _taken(result_id)
        return result

    def waiting(self, station: str | None = None) -> int:
        """How many parts await a person."""
        wanted = select(func.count()).select_from(ResultRow).where(ResultRow.awaits_review)
        if station is not None:
            wanted = wanted.where(ResultRow.station_id == station)
        with self._database.transaction() as connection:
            return int(connection.execute(wanted).scalar_one())


def _waiting(reviewer: str, station: str | None, after: Place | None) -> Select[tuple[ResultRow]]:
    leased = exists().where(ReviewLeaseRow.result_id == ResultRow.result_id)
    is_open_to = exists().where(
        ReviewRow.result_id == ResultRow.result_id,
        ReviewRow.reviewer == reviewer,
        ReviewRow.reason == ReasonCode.CANNOT_TELL,
    )
    conditions: list[ColumnElement[bool]] = [ResultRow.awaits_review.is_(True), ~leased, ~is_open_to]
    if station is not None:
        conditions.append(ResultRow.station_id == station)
    if after is not None:
        conditions.append(tuple_(ResultRow.creation_time, ResultRow.result_id) > after)
    order = (ResultRow.creation_time, ResultRow.result_id)
    return select(ResultRow.__table__).where(*conditions).order_by(*order)


def _take(connection: Connection, result_id: str, holder: Holder, now: datetime) -> bool:
    """Whether the lease on a part is now the holder's."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    lease = {"result_id": result_id, "holder": holder, "until": now + LEASE}
    taken = insert(ReviewLeaseRow).values(lease).on_conflict_do_nothing(index_elements=["result_id"])
    return connection.execute(taken.returning(ReviewLeaseRow.result_id)).first() is not None


def _drop_late_leases(connection: Connection, now: datetime) -> None:
    # A write comes first, so that SQLite's lock is taken before anything is read under it.
    connection.execute(delete(ReviewLeaseRow).where(ReviewLeaseRow.until < now))


def _make_sure_it_is_free(connection: Connection, result_id: str, holder: Holder) -> None:
    wanted = select(ReviewLeaseRow.holder).where(ReviewLeaseRow.result_id == result_id)
    if connection.execute(wanted).scalar_one_or_none() not in {None, holder}:
        raise _taken(result_id)


def _reviews(connection: Connection, result_id: str) -> Iterator[Review]:
    wanted = select(ReviewRow.review).where(ReviewRow.result_id == result_id).order_by(ReviewRow.number)
    for (stored,) in connection.execute(wanted):
        yield Review.model_validate_json(stored)


def _held(result: StoredResult, seen: list[Review]) -> HeldBefore:
    """What was held of a part: the last review, or the verdict where nobody has decided."""
    if not seen:
        return HeldBefore(
            verification=VerificationState.NOT_VERIFIED_YET, defect_class=result.verdict.defect_class
        )
    return HeldBefore(verification=seen[-1].verification, defect_class=seen[-1].defect_class)


def _insert(connection: Connection, review: Review) -> None:
    row = {
        "result_id": review.result_id,
        "number": review.number,
        "reviewed_at": review.reviewed_at,
        "reviewer": review.reviewer,
        "verification": review.verification.value,
        "reason": review.reason.value if review.reason is not None else None,
        "review": review.model_dump_json(),
    }
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    added = insert(ReviewRow).values(row).on_conflict_do_nothing(index_elements=["result_id", "number"])
    if connection.execute(added.returning(ReviewRow.number)).first() is None:
        raise _overtaken(review.result_id, [])
    is_open = review.verification is VerificationState.NOT_VERIFIED_YET
    connection.execute(
        update(ResultRow)
        .where(ResultRow.result_id == review.result_id)
        .values(
            awaits_review=is_open,
            verification=None if is_open else review.verification.value,
        )
    )


def _overtaken(result_id: str, seen: list[Review]) -> AlreadyReviewed:
    by = f" by {seen[-1].reviewer}" if seen else ""
    return AlreadyReviewed(
        f"{result_id!r} was decided{by} meanwhile; your decision was not kept",
        hint="look at the part again and decide on what is held of it now",
    )


def _taken(result_id: str) -> AlreadyReviewed:
    return AlreadyReviewed(
        f"{result_id!r} is before another person; your decision was not kept",
        hint=f"take the next part, or come back in {LEASE.seconds // 60} minutes",
    )
