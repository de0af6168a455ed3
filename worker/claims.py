"""The entries in this worker's hands, and the signs of life that keep other workers from taking them over."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

from engine import EngineClosed
from services.infra.errors import StoreError
from services.infra.ledger import Entry, Ledger
from services.infra.names import Lane

RENEWALS_PER_CLAIM = 3
"""One sign of life may get lost, and a second, before another worker takes an entry over."""


class Claims:
    """Owns the list of entries in hand; used by one thread."""

    def __init__(self, ledger: Ledger, consumer: str, claim_idle_ms: int) -> None:
        self._ledger = ledger
        self._consumer = consumer
        self._interval = claim_idle_ms / 1000 / RENEWALS_PER_CLAIM
        self._held: dict[tuple[Lane, str], Entry] = {}
        self._renewed_at = time.monotonic()

    @contextmanager
    def hold(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Holds entries for the length of the block.

        When a store is away, that is no fault of the entries: what is not settled yet is released, and the
        delivery does not count. When the engine failed, one of the entries may have been the cause: the
        delivery counts. After any other error the entries stay here until their claims run out.
        """
        self._held |= {_key(entry): entry for entry in entries}
        try:
            yield
        except StoreError:
            with suppress(StoreError):
                self._ledger.release(self._unsettled(entries))
            raise
        except EngineClosed:
            self._ledger.retry(self._unsettled(entries))
            raise
        finally:
            for entry in entries:
                self.settle(entry)

    def settle(self, entry: Entry) -> None:
        """The entry is committed, buried or handed back, and no longer ours."""
        self._held.pop(_key(entry), None)

    def _unsettled(self, entries: Sequence[Entry]) -> list[Entry]:
        return [entry for entry in entries if _key(entry) in self._held]

    def renew_if_due(self) -> None:
        """Gives a sign of life for everything in hand, a few times per claim. Raises StoreError."""
        if time.monotonic() - self._renewed_at < self._interval:
            return
        self._ledger.renew(list(self._held.values()), self._consumer)
        self._renewed_at = time.monotonic()

    def wait_for(self, futures: Sequence[Future[Any]]) -> None:
        """Returns when every future is done, with the claims kept alive meanwhile."""
        while wait(futures, timeout=self._interval).not_done:
            self.renew_if_due()


def _key(entry: Entry) -> tuple[Lane, str]:
    """Each lane numbers its own entries, so that two lanes may hold the same number."""
    return entry.lane, entry.entry_id
