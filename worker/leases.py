"""The entries that this worker has leased, and the renewals that keep other workers from taking them over."""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry, JobQueue

RENEWALS_PER_LEASE = 3
"""One renewal may get lost, and a second, before another worker takes an entry over."""

Ending: TypeAlias = Callable[[Sequence[Entry]], None]
"""How the ledger is told that leases have ended."""


class Leases:
    """Owns the list of leased entries; used by one thread."""

    def __init__(self, jobs: JobQueue, consumer: str, lease_ms: int) -> None:
        self._jobs = jobs
        self._consumer = consumer
        self._interval = lease_ms / 1000 / RENEWALS_PER_LEASE
        self._held: dict[tuple[Queue, str], Entry] = {}
        self._ended: list[tuple[Ending, Entry]] = []
        self._renewed_at = time.monotonic()

    @property
    def held(self) -> tuple[Entry, ...]:
        """What is leased, in the order in which it was read."""
        return tuple(self._held.values())

    def hold(self, entries: Sequence[Entry]) -> None:
        """The entries were read, and are leased until they are acknowledged, requeued or retried."""
        self._held |= {_key(entry): entry for entry in entries}

    def acknowledged(self, entry: Entry) -> None:
        """The entry is committed or dead-lettered, and the lease is over."""
        self._held.pop(_key(entry), None)

    def requeue(self, entries: Iterable[Entry]) -> None:
        """Gives entries back as they came: the delivery does not count.

        Raises StoreError; the ledger is then told when it is back.
        """
        self._end(self._jobs.release, entries)

    def retry(self, entries: Iterable[Entry]) -> None:
        """Gives entries back after a failure that one of them may have caused: the delivery counts.

        Raises StoreError; the ledger is then told when it is back.
        """
        self._end(self._jobs.retry, entries)

    def forget(self) -> None:
        """Lets every lease run out, so that others take over."""
        self._held.clear()

    def renew_if_due(self) -> None:
        """Renews everything leased, a few times per lease. Raises StoreError."""
        self._tell()
        if not self._held or time.monotonic() - self._renewed_at < self._interval:
            return
        self._jobs.renew(self.held, self._consumer)
        self._renewed_at = time.monotonic()

    def _end(self, ending: Ending, entries: Iterable[Entry]) -> None:
        for entry in tuple(entries):
            self.acknowledged(entry)
            self._ended.append((ending, entry))
        self._tell()

    def _tell(self) -> None:
        """Tells the ledger of the leases that have ended; twice changes nothing. Raises StoreError."""
        for ending, group in groupby(tuple(self._ended), key=itemgetter(0)):
            ended = list(group)
            ending([entry for _, entry in ended])
            del self._ended[: len(ended)]


def _key(entry: Entry) -> tuple[Queue, str]:
    """Each queue numbers its own entries, so that two queues may hold the same number."""
    return entry.queue, entry.entry_id
