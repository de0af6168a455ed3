"""The entries in this worker's hands, and the heartbeats that keep other workers from taking them over."""

import time
from collections.abc import Iterable, Sequence

from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry, Ledger

RENEWALS_PER_LEASE = 3
"""One heartbeat may get lost, and a second, before another worker takes an entry over."""


class Leases:
    """Owns the list of entries in hand; used by one thread."""

    def __init__(self, ledger: Ledger, consumer: str, lease_ms: int) -> None:
        self._ledger = ledger
        self._consumer = consumer
        self._interval = lease_ms / 1000 / RENEWALS_PER_LEASE
        self._held: dict[tuple[Queue, str], Entry] = {}
        self._renewed_at = time.monotonic()

    @property
    def held(self) -> tuple[Entry, ...]:
        """What is in hand, in the order in which it was read."""
        return tuple(self._held.values())

    def hold(self, entries: Sequence[Entry]) -> None:
        """The entries were read, and are ours until they are settled or handed back."""
        self._held |= {_key(entry): entry for entry in entries}

    def settle(self, entry: Entry) -> None:
        """The entry is committed or dead-lettered, and no longer ours."""
        self._held.pop(_key(entry), None)

    def release(self, entries: Iterable[Entry]) -> None:
        """Hands entries back as they came: the delivery does not count. Raises StoreError."""
        self._ledger.release(self._let_go(entries))

    def retry(self, entries: Iterable[Entry]) -> None:
        """Hands entries back after a failure that one of them may have caused: the delivery counts.

        Raises StoreError.
        """
        self._ledger.retry(self._let_go(entries))

    def forget(self) -> None:
        """Lets go of everything without a word: the leases run out, and others take over."""
        self._held.clear()

    def renew_if_due(self) -> None:
        """Gives a heartbeat for everything in hand, a few times per claim. Raises StoreError."""
        if not self._held or time.monotonic() - self._renewed_at < self._interval:
            return
        self._ledger.renew(self.held, self._consumer)
        self._renewed_at = time.monotonic()

    def _let_go(self, entries: Iterable[Entry]) -> Sequence[Entry]:
        # Before the ledger is told: when that fails, a claim that runs out does the same, only later.
        gone = tuple(entries)
        for entry in gone:
            self.settle(entry)
        return gone


def _key(entry: Entry) -> tuple[Queue, str]:
    """Each queue numbers its own entries, so that two queues may hold the same number."""
    return entry.queue, entry.entry_id
