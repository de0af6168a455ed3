"""Laws of the ledger under any order of steps: one end for every job, and nothing left behind."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from schemas.verdict import Decision
from services.infra.local_redis import RedisServer
from services.infra.stores.ledger import (
    Added,
    Committed,
    Duplicate,
    Entry,
    Ledger,
    Queue,
    ResultEntry,
    Stage,
)
from tests.infra.samples import DIGEST, PROBLEM, diagnosis, job, report, verdict

IDS = st.sampled_from([f"r{number}" for number in range(6)])
CONSUMERS = st.sampled_from(["w1", "w2"])


class LedgerMachine(RuleBasedStateMachine):
    """Adds, reads, requeues, commits and dead-letters in any order, with stale entries too."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.make_ledger()
        self.accepted: set[str] = set()
        self.entries: list[Entry] = []
        self.verdicts: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        self.stored: list[ResultEntry] = []

    def make_ledger(self) -> Ledger:
        """An empty ledger of the kind under test."""
        raise NotImplementedError

    @rule(result_id=IDS)
    def add(self, result_id: str) -> None:
        """A job is accepted once."""
        outcome = self.ledger.jobs.add(job(result_id), DIGEST)
        expected = Duplicate(result_id) if result_id in self.accepted else Added(result_id)
        assert outcome == expected
        self.accepted.add(result_id)

    @rule(queue=st.sampled_from(list(Queue)), consumer=CONSUMERS, count=st.integers(1, 3))
    def read(self, queue: Queue, consumer: str, count: int) -> None:
        """Entries are kept for ever, so that later steps use stale ones as well."""
        self.entries += self.ledger.jobs.read(queue, consumer, count)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), is_counted=st.booleans())
    def requeue(self, data: st.DataObject, *, is_counted: bool) -> None:
        """Any entry, held or not, may be requeued."""
        entry = data.draw(st.sampled_from(self.entries))
        (self.ledger.jobs.retry if is_counted else self.ledger.jobs.release)([entry])

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), is_escalated=st.booleans())
    def commit(self, data: st.DataObject, *, is_escalated: bool) -> None:
        """Any entry, held or not, may be committed, again and again."""
        self._commit(data.draw(st.sampled_from(self.entries)), is_escalated=is_escalated)

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def dead_letter(self, data: st.DataObject) -> None:
        """Any entry may be given up."""
        entry = data.draw(st.sampled_from(self.entries))
        result_id = entry.job.result_id
        is_inspection = entry.queue is Queue.INSPECT
        dead = verdict(result_id, Decision.NOT_INSPECTED) if is_inspection else None
        if isinstance(self.ledger.jobs.dead_letter(entry, PROBLEM, dead), Committed):
            self._count(self.ends, result_id)
            if is_inspection:
                self._count(self.verdicts, result_id)

    @rule(count=st.integers(1, 5))
    def store_results(self, count: int) -> None:
        """The result writer takes what there is."""
        results = self.ledger.outbox.read("result-writer", count)
        self.stored += results
        self.ledger.outbox.acknowledge(results)

    @invariant()
    def nothing_ends_twice(self) -> None:
        """At most one verdict and one end for each job, whatever was delivered twice."""
        assert max(self.verdicts.values(), default=0) <= 1
        assert max(self.ends.values(), default=0) <= 1

    def teardown(self) -> None:
        """After a drain every accepted job is at exactly one end, and the queues are empty."""
        for queue in Queue:
            self.ledger.jobs.release(self.entries)
            while entries := self.ledger.jobs.read(queue, "last", 10):
                for entry in entries:
                    self._commit(entry, is_escalated=True)
        while results := self.ledger.outbox.read("result-writer", 10):
            self.stored += results
            self.ledger.outbox.acknowledge(results)
        self._check_the_end()

    def _check_the_end(self) -> None:
        assert set(self.ends) == self.accepted
        assert self.ledger.jobs.waiting(Queue.INSPECT) == self.ledger.jobs.waiting(Queue.DIAGNOSE) == 0
        stored_verdicts = [entry.result_id for entry in self.stored if entry.verdict is not None]
        stored_ends = [entry.result_id for entry in self.stored if entry.stage.is_final]
        assert sorted(stored_verdicts) == sorted(stored_ends) == sorted(self.accepted)
        for result_id in self.accepted:
            state = self.ledger.jobs.state(result_id)
            assert state is not None
            assert state.stage in {Stage.DECIDED, Stage.REPORTED, Stage.DEAD}
            assert state.verdict is not None

    def _commit(self, entry: Entry, *, is_escalated: bool) -> None:
        result_id = entry.job.result_id
        if entry.queue is Queue.DIAGNOSE:
            if isinstance(self.ledger.jobs.commit_report(entry, report(result_id)), Committed):
                self._count(self.ends, result_id)
            return
        follows = diagnosis(result_id) if is_escalated else None
        if isinstance(self.ledger.jobs.commit_verdict(entry, verdict(result_id), follows), Committed):
            self._count(self.verdicts, result_id)
            if not is_escalated:
                self._count(self.ends, result_id)

    @staticmethod
    def _count(counts: dict[str, int], result_id: str) -> None:
        counts[result_id] = counts.get(result_id, 0) + 1


FEW = settings(max_examples=30, stateful_step_count=30, suppress_health_check=list(HealthCheck))


def test_every_job_ends_once(ledger_redis: RedisServer) -> None:
    """The laws hold for the scripts; at the end only records that run out, and bounded news, are left."""

    class OnRedis(LedgerMachine):
        def make_ledger(self) -> Ledger:
            client.flushall()
            return Ledger(ledger_redis.url, 600_000)

        def _check_the_end(self) -> None:
            super()._check_the_end()
            for key in client.scan_iter("lynceus:job:*"):
                assert client.ttl(key) > 0
            assert client.xlen("lynceus:results") == 0

    with Redis.from_url(ledger_redis.url) as client:
        run_state_machine_as_test(OnRedis, settings=FEW)
