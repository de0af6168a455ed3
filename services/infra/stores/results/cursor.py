"""The opaque cursor of a page of results: the place after which the next page begins."""

import base64
import binascii
from datetime import UTC, datetime
from typing import TypeAlias

from schemas.verdict import Verdict
from services.infra.process.errors import BadRequest
from services.infra.stores.results.records import MAX_PAGE, Page, StoredResult

Place: TypeAlias = tuple[datetime, str]
"""Creation time and result id: the order of pages, newest first, ids breaking ties."""


def place(verdict: Verdict) -> Place:
    """Where a verdict stands in the order of pages."""
    return verdict.creation_time, verdict.result_id


def write_cursor(last: Place) -> str:
    """The cursor that continues after this place."""
    return base64.urlsafe_b64encode(f"{last[0].isoformat()} {last[1]}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Place:
    """The place a cursor stands for. Raises BadRequest when no page gave it."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, result_id = text.partition(" ")
        return datetime.fromisoformat(moment).astimezone(UTC), result_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise BadRequest(
            f"cursor {cursor!r} was not given by a page", hint="start without a cursor and follow `next`"
        ) from error


def checked_limit(limit: int) -> int:
    """The limit itself. Raises BadRequest outside 1 to 500."""
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"limit {limit} is not in 1..{MAX_PAGE}", hint=f"ask for 1 to {MAX_PAGE} results")
    return limit


def page_of(rows: list[StoredResult], limit: int) -> Page:
    """The first `limit` of the rows, with a cursor when more follow."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(tuple(shown), write_cursor(place(shown[-1].verdict)) if more else None)
