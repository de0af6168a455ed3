"""The doorbell: wakes a worker for a lane without ever carrying work."""

from typing import Protocol

from services.infra.names import Lane


class Bell(Protocol):
    """Wakes workers; a lost ring costs time, never a job."""

    def ring(self, lane: Lane) -> bool:
        """Ask for a shift on the lane; False when one is already waiting. Raises StoreUnavailable."""
        ...

    def answer(self, lane: Lane) -> None:
        """Say that a shift has begun, so that the next ring asks for another one."""
        ...


class MemoryDoorbell:
    """Notes who rang, for tests and tools."""

    def __init__(self) -> None:
        self.waiting: set[Lane] = set()

    def ring(self, lane: Lane) -> bool:
        """See Bell.ring."""
        is_new = lane not in self.waiting
        self.waiting.add(lane)
        return is_new

    def answer(self, lane: Lane) -> None:
        """See Bell.answer."""
        self.waiting.discard(lane)
