"""What a worker has leased, and how a lease ends."""

from collections.abc import Sequence

from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry, MemoryLedger
from tests.worker.plant import make_job
from worker.leases import Leases


class NotingLedger(MemoryLedger):
    """A ledger that notes what is requeued, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.released: list[Entry] = []
        self.retried: list[Entry] = []
        self.renewed: list[Entry] = []

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:
        """See Ledger.renew."""
        self.renewed += entries
        return super().renew(entries, consumer)

    def release(self, entries: Sequence[Entry]) -> None:
        """See Ledger.release."""
        self.released += entries

    def retry(self, entries: Sequence[Entry]) -> None:
        """See Ledger.retry."""
        self.retried += entries


def entry(number: int, queue: Queue = Queue.INSPECT) -> Entry:
    """A delivery of this number in a queue."""
    return Entry(f"{number}-0", queue, "worker-1", 1, make_job(f"part-{number}", b"pixels"))


def test_what_is_acknowledged_is_not_requeued() -> None:
    """What was committed before the store went stays committed; the rest is no worse off than before."""
    ledger = NotingLedger()
    leases = Leases(ledger, "worker-1", 30_000)
    first, second = entry(1), entry(2)
    leases.hold([first, second])
    leases.acknowledged(first)
    leases.requeue(leases.held)
    assert ledger.released == [second]
    assert ledger.retried == []
    assert leases.held == ()


def test_what_may_have_caused_a_failure_counts() -> None:
    """One of the parts may have broken the engine, so that the delivery counts against each."""
    ledger = NotingLedger()
    leases = Leases(ledger, "worker-1", 30_000)
    leases.hold([entry(1)])
    leases.retry(leases.held)
    assert [held.entry_id for held in ledger.retried] == ["1-0"]
    assert ledger.released == []


def test_two_queues_may_hold_the_same_number() -> None:
    """A verdict that is committed while a report is written does not end the report's lease."""
    leases = Leases(NotingLedger(), "worker-1", 30_000)
    report, part = entry(1, Queue.DIAGNOSE), entry(1, Queue.INSPECT)
    leases.hold([report, part])
    leases.acknowledged(part)
    assert leases.held == (report,)


def test_nothing_leased_needs_no_renewal() -> None:
    """An idle worker does not talk to the ledger about nothing."""
    ledger = NotingLedger()
    leases = Leases(ledger, "worker-1", 0)
    leases.renew_if_due()
    assert ledger.renewed == []
    leases.hold([entry(1)])
    leases.renew_if_due()
    assert [held.entry_id for held in ledger.renewed] == ["1-0"]
