"""The event feed: a line for each step of each job, bounded; it is news, not the truth."""

import re

from services.infra.process import names
from services.infra.process.errors import BadRequest
from services.infra.stores.ledger.connection import MAX_BLOCK_MS, LedgerConnection
from services.infra.stores.ledger.records import Event
from services.infra.stores.ledger.streams import UNNUMBERED
from services.infra.stores.redis_client import typed_errors

_EVENT_ID = re.compile(r"^\d{1,19}(-\d{1,19})?$")


class EventFeed:
    """Events in the order in which they happened. Methods raise StoreUnavailable when the store is away."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    def newest_id(self) -> str:
        """The id to hand to `after` to see only what comes next."""
        with typed_errors(self._connection.url):
            newest = self._connection.redis.xrevrange(names.EVENTS_STREAM, count=1)
        return str(newest[0][0]) if newest else UNNUMBERED

    def after(self, event_id: str, count: int, block_ms: int) -> list[Event]:
        """Up to `count` events after an id ("0": all kept), waiting up to `block_ms` (0 to 10000) for one.

        Raises BadRequest for something that is not an event id.
        """
        wanted = {names.EVENTS_STREAM: _checked(event_id)}
        # To Redis, BLOCK 0 means for ever; not to block at all is to leave it out.
        block = min(block_ms, MAX_BLOCK_MS) or None
        with typed_errors(self._connection.url):
            found = self._connection.blocking.xread(wanted, count=count, block=block)
        return [
            Event.model_validate_json(fields["event"]).model_copy(update={"event_id": number})
            for _, entries in found
            for number, fields in entries
        ]


def _checked(event_id: str) -> str:
    if not _EVENT_ID.match(event_id):
        raise BadRequest(
            f"{event_id!r} is not an event id", hint='send an id that the feed gave, or "0" for all it keeps'
        )
    return event_id
