"""What a worker holds, and what becomes of it when the block that holds it ends in an error."""

from collections.abc import Callable, Sequence

import pytest

from engine import EngineClosed
from services.infra.errors import StoreUnavailable
from services.infra.ledger import Entry, MemoryLedger
from services.infra.names import Lane
from tests.worker.plant import make_job
from worker.claims import Claims


class NotingLedger(MemoryLedger):
    """A ledger that notes what is handed back, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.released: list[Entry] = []
        self.retried: list[Entry] = []

    def release(self, entries: Sequence[Entry]) -> None:
        """See Ledger.release."""
        self.released += entries

    def retry(self, entries: Sequence[Entry]) -> None:
        """See Ledger.retry."""
        self.retried += entries


def entry(number: int, lane: Lane = Lane.INSPECT) -> Entry:
    """A delivery of this number in a lane."""
    return Entry(f"{number}-0", lane, "worker-1", 1, make_job(f"part-{number}", b"pixels"))


def hold_until_the_store_goes(claims: Claims, entries: list[Entry], work: Callable[[], None]) -> None:
    """Holds entries, does some work, and then finds the store away."""
    with claims.hold(entries):
        work()
        raise StoreUnavailable("Redis is away")


def test_a_store_that_is_away_returns_what_is_unsettled_uncounted() -> None:
    """What was committed before the store went stays committed; the rest is no worse off than before."""
    ledger = NotingLedger()
    claims = Claims(ledger, "worker-1", 30_000)
    first, second = entry(1), entry(2)
    with pytest.raises(StoreUnavailable):
        hold_until_the_store_goes(claims, [first, second], lambda: claims.settle(first))
    assert ledger.released == [second]
    assert ledger.retried == []


def test_an_engine_that_failed_returns_what_is_unsettled_counted() -> None:
    """One of the parts may have broken the engine, so that the delivery counts against each."""
    ledger = NotingLedger()
    claims = Claims(ledger, "worker-1", 30_000)
    with pytest.raises(EngineClosed), claims.hold([entry(1)]):
        raise EngineClosed("the engine failed", "restart the process")
    assert [held.entry_id for held in ledger.retried] == ["1-0"]
    assert ledger.released == []


def test_two_lanes_may_hold_the_same_number() -> None:
    """A verdict that is settled while a report is written does not let go of the report."""
    ledger = NotingLedger()
    claims = Claims(ledger, "worker-1", 30_000)
    report = entry(1, Lane.DIAGNOSE)

    def serve_a_verdict() -> None:
        with claims.hold([entry(1, Lane.INSPECT)]):
            pass

    with pytest.raises(StoreUnavailable):
        hold_until_the_store_goes(claims, [report], serve_a_verdict)
    assert ledger.released == [report]
