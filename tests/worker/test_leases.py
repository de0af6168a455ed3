"""What a worker has leased, and how a lease ends."""

from collections.abc import Sequence

from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry, JobQueue
from services.infra.stores.ledger.connection import LedgerConnection
from tests.worker.plant import make_job
from worker.leases import Leases


class NotingQueue(JobQueue):
    """A job queue that notes what is renewed and requeued, and how; it never connects."""

    def __init__(self) -> None:
        super().__init__(LedgerConnection("redis://127.0.0.1:1"), 30_000)
        self.released: list[Entry] = []
        self.retried: list[Entry] = []
        self.renewed: list[Entry] = []

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:  # noqa: ARG002 - one consumer here
        """Notes the renewal."""
        self.renewed += entries
        return list(entries)

    def release(self, entries: Sequence[Entry]) -> None:
        """Notes what comes back uncounted."""
        self.released += entries

    def retry(self, entries: Sequence[Entry]) -> None:
        """Notes what comes back counted."""
        self.retried += entries


def entry(number: int, queue: Queue = Queue.INSPECT) -> Entry:
    """A delivery of this number in a queue."""
    return Entry(f"{number}-0", queue, "worker-1", 1, make_job(f"part-{number}", b"pixels"))


def test_what_is_acknowledged_is_not_requeued() -> None:
    """What was committed before the store went stays committed; the rest is no worse off than before."""
    jobs = NotingQueue()
    leases = Leases(jobs, "worker-1", 30_000)
    first, second = entry(1), entry(2)
    leases.hold([first, second])
    leases.acknowledged(first)
    leases.requeue(leases.held)
    assert jobs.released == [second]
    assert jobs.retried == []
    assert leases.held == ()


def test_what_may_have_caused_a_failure_counts() -> None:
    """One of the parts may have broken the engine, so that the delivery counts against each."""
    jobs = NotingQueue()
    leases = Leases(jobs, "worker-1", 30_000)
    leases.hold([entry(1)])
    leases.retry(leases.held)
    assert [held.entry_id for held in jobs.retried] == ["1-0"]
    assert jobs.released == []


def test_two_queues_may_hold_the_same_number() -> None:
    """A verdict that is committed while a report is written does not end the report's lease."""
    leases = Leases(NotingQueue(), "worker-1", 30_000)
    report, part = entry(1, Queue.DIAGNOSE), entry(1, Queue.INSPECT)
    leases.hold([report, part])
    leases.acknowledged(part)
    assert leases.held == (report,)


def test_nothing_leased_needs_no_renewal() -> None:
    """An idle worker does not talk to the ledger about nothing."""
    jobs = NotingQueue()
    leases = Leases(jobs, "worker-1", 0)
    leases.renew_if_due()
    assert jobs.renewed == []
    leases.hold([entry(1)])
    leases.renew_if_due()
    assert [held.entry_id for held in jobs.renewed] == ["1-0"]
