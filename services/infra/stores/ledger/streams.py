"""Reads a stream as one of a group's consumers; what cannot be parsed goes to the dead letters alone."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from schemas.problem import Problem
from services.infra.process import names
from services.infra.process.errors import RecordInvalid
from services.infra.process.names import Queue
from services.infra.stores.ledger.connection import LedgerConnection
from services.infra.stores.ledger.presence import RETURN_MS, STALE_MS
from services.infra.stores.ledger.records import DeadLetter

ENTRIES_KEPT = 10_000
"""Events and dead letters kept, about; older ones go."""

CONSUMER_KEPT_MS = 86_400_000
REQUEUED_IDLE_MS = 86_400_000
"""A requeued entry looks idle for this long, so that anyone may take it at once."""

UNNUMBERED = "0-0"
"""Stands for an entry's id until the store gives one."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry as the stream hands it out; `count` counts its deliveries from 1."""

    entry_id: str
    count: int
    fields: dict[str, str]


class StreamReader:
    """Reads one stream for one group; an entry whose holder is silent for `lease_ms` is free again."""

    def __init__(
        self, connection: LedgerConnection, stream: str, group: str, lease_ms: int, queue: Queue | None = None
    ) -> None:
        """`queue` is what a dead letter of this stream says it came from; None for results."""
        self._connection = connection
        self._stream = stream
        self._group = group
        self._lease_ms = lease_ms
        self._queue = queue
        self._is_retired = False

    def take(self, consumer: str, count: int) -> Iterator[StreamEntry]:
        """Up to `count` entries: those requeued, those of a lost or silent consumer, then new ones."""
        if not self._is_retired:
            self._connection.run("retire", [self._stream], [self._group, CONSUMER_KEPT_MS])
            self._is_retired = True
        arguments: list[str | int] = [self._group, consumer, count, self._lease_ms, REQUEUED_IDLE_MS]
        arguments += [names.presence_key(""), STALE_MS, RETURN_MS]
        found = self._connection.run("read", [self._stream, names.SERVER_HASH], arguments)
        for entry_id, deliveries, flat in found:
            yield StreamEntry(entry_id, deliveries, dict(zip(flat[::2], flat[1::2], strict=True)))

    def discard(self, delivery: StreamEntry, error: Exception) -> None:
        """Moves an entry that cannot be read to the dead letters."""
        result_id = delivery.fields.get("result_id", "")
        problem = unreadable(result_id, error).problem()
        dead = dead_letter(result_id, self._queue, delivery.count, problem, json.dumps(delivery.fields))
        self._connection.run(
            "discard",
            [self._stream, names.job_key(result_id), names.DEAD_STREAM],
            [
                self._group,
                delivery.entry_id,
                dead.model_dump_json(),
                problem.model_dump_json(),
                ENTRIES_KEPT,
            ],
        )
        log.error("unreadable_entry", stream=self._stream, result_id=result_id)


def dead_letter(
    result_id: str, queue: Queue | None, deliveries: int, problem: Problem, payload: str
) -> DeadLetter:
    """A dead letter of this moment."""
    return DeadLetter(
        dead_letter_id=UNNUMBERED,
        result_id=result_id,
        queue=queue,
        deliveries=deliveries,
        problem=problem,
        payload=payload,
        moment=datetime.now(UTC),
    )


def unreadable(result_id: str, error: Exception) -> RecordInvalid:
    """The error of a stored record that is not the message it should be."""
    return RecordInvalid(
        f"the record of {result_id!r} cannot be read: {error}",
        hint="it was written by another version; finish old jobs before an update, and submit this one again",
    )
