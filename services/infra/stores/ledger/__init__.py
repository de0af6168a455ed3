"""The ledger: job queue, result outbox, event feed and telemetry on one Redis server."""

from services.infra.process.names import Queue
from services.infra.stores.ledger.connection import LedgerConnection
from services.infra.stores.ledger.feed import EventFeed
from services.infra.stores.ledger.jobs import JobQueue
from services.infra.stores.ledger.outbox import ResultOutbox
from services.infra.stores.ledger.presence import Presence
from services.infra.stores.ledger.records import (
    Added,
    AlreadyCommitted,
    CameraFrame,
    Committed,
    DeadLetter,
    Decided,
    Duplicate,
    Entry,
    Event,
    EventKind,
    JobState,
    ResultEntry,
    Stage,
)
from services.infra.stores.ledger.telemetry import Telemetry

__all__ = [
    "Added",
    "AlreadyCommitted",
    "CameraFrame",
    "Committed",
    "DeadLetter",
    "Decided",
    "Duplicate",
    "Entry",
    "Event",
    "EventFeed",
    "EventKind",
    "JobQueue",
    "JobState",
    "Ledger",
    "Presence",
    "Queue",
    "ResultEntry",
    "ResultOutbox",
    "Stage",
    "Telemetry",
]


class Ledger:
    """The four parts over one connection. A job whose holder is silent for `lease_ms` is free for others."""

    def __init__(self, url: str, lease_ms: int = 30_000) -> None:
        self._connection = LedgerConnection(url)
        self.jobs = JobQueue(self._connection, lease_ms)
        self.outbox = ResultOutbox(self._connection, lease_ms)
        self.events = EventFeed(self._connection)
        self.telemetry = Telemetry(self._connection)

    def used_fraction(self) -> float:
        """How full the server's memory is, 0 to 1; 0 when it has no limit. Raises StoreUnavailable."""
        return self._connection.used_fraction()
