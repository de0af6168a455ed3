"""The ledger's face: its promises (ledger_port), on Redis (ledger_redis) and in memory (ledger_memory)."""

from services.infra.process.names import Queue
from services.infra.stores.ledger.memory import MemoryLedger
from services.infra.stores.ledger.port import (
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
    Heartbeat,
    JobState,
    Ledger,
    ResultEntry,
    Stage,
)
from services.infra.stores.ledger.presence import Presence
from services.infra.stores.ledger.redis_ledger import RedisLedger

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
    "EventKind",
    "Heartbeat",
    "JobState",
    "Ledger",
    "MemoryLedger",
    "Presence",
    "Queue",
    "RedisLedger",
    "ResultEntry",
    "Stage",
]
