"""The ledger's face: its promises (ledger_port), on Redis (ledger_redis) and in memory (ledger_memory)."""

from services.infra.ledger_memory import MemoryLedger
from services.infra.ledger_port import (
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
from services.infra.ledger_redis import RedisLedger
from services.infra.names import Lane

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
    "Lane",
    "Ledger",
    "MemoryLedger",
    "RedisLedger",
    "ResultEntry",
    "Stage",
]
