"""The job queue: streams hold what waits, a hash holds each job, one Lua script makes each step."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from pydantic import ValidationError

from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.process import names
from services.infra.process.errors import DuplicateConflict
from services.infra.process.names import Queue
from services.infra.stores.ledger import commit, events
from services.infra.stores.ledger.connection import LedgerConnection
from services.infra.stores.ledger.records import (
    Added,
    AlreadyCommitted,
    Committed,
    DeadLetter,
    Decided,
    Duplicate,
    Entry,
    JobState,
    Stage,
    message_or_none,
)
from services.infra.stores.ledger.streams import (
    ENTRIES_KEPT,
    REQUEUED_IDLE_MS,
    StreamReader,
    dead_letter,
    unreadable,
)
from services.infra.stores.redis_client import typed_errors


class JobQueue:
    """The truth about accepted jobs. Every method raises StoreUnavailable when the store does not answer.

    Nothing accepted is lost: a job leaves its queue only in the step that writes its result. A second
    delivery changes nothing: results are set if absent.
    """

    def __init__(self, connection: LedgerConnection, lease_ms: int) -> None:
        self._connection = connection
        self._streams = {
            queue: StreamReader(connection, names.queue_stream(queue), names.GPU_GROUP, lease_ms, queue)
            for queue in Queue
        }

    def add(self, job: InspectionJob, body_digest: str) -> Added | Duplicate:
        """Accept a job, once per result_id. Raises DuplicateConflict for another digest, StoreFull."""
        event = events.accepted(job, datetime.now(UTC))
        outcome = self._connection.run(
            "add",
            [names.job_key(job.result_id), names.queue_stream(Queue.INSPECT), names.EVENTS_STREAM],
            [body_digest, job.model_dump_json(), job.result_id, event.model_dump_json(), ENTRIES_KEPT],
        )
        if outcome == "conflict":
            raise DuplicateConflict(
                f"result id {job.result_id!r} was used with another body",
                hint="use a new id for a new request",
            )
        return Added(job.result_id) if outcome == "added" else Duplicate(job.result_id)

    def state(self, result_id: str) -> JobState | None:
        """What is known of a job, or None; a record ends one day after its result was stored.

        Raises RecordInvalid for a record that another version wrote.
        """
        with typed_errors(self._connection.url):
            stage, *texts = self._connection.redis.hmget(
                names.job_key(result_id), ["stage", "job", "verdict", "report", "problem"]
            )
        if stage is None:
            return None
        job, verdict, report, problem = texts
        try:
            return JobState(
                stage=Stage(stage),
                job=InspectionJob.model_validate_json(job),
                verdict=message_or_none(Verdict, verdict),
                report=message_or_none(DiagnosisReport, report),
                problem=message_or_none(Problem, problem),
            )
        except ValueError as error:
            raise unreadable(result_id, error) from error

    def read(self, queue: Queue, consumer: str, count: int) -> list[Entry]:
        """Up to `count` jobs, at once: those requeued, those of a lost or silent consumer, then new ones.

        An entry that cannot be parsed goes to the dead letters and is not returned.
        """
        kind = InspectionJob if queue is Queue.INSPECT else DiagnosisJob
        entries = []
        for delivery in self._streams[queue].take(consumer, count):
            try:
                job = kind.model_validate_json(delivery.fields["job"])
            except (ValidationError, KeyError) as error:
                self._streams[queue].discard(delivery, error)
            else:
                entries.append(Entry(delivery.entry_id, queue, consumer, delivery.count, job))
        return entries

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:
        """Renew the leases of entries; returns those that still belong to the consumer."""
        held: set[tuple[Queue, str]] = set()
        for queue in {entry.queue for entry in entries}:
            ids = [entry.entry_id for entry in entries if entry.queue is queue]
            kept = self._connection.run(
                "renew", [names.queue_stream(queue)], [names.GPU_GROUP, consumer, *ids]
            )
            held |= {(queue, entry_id) for entry_id in kept}
        return [entry for entry in entries if (entry.queue, entry.entry_id) in held]

    def release(self, entries: Sequence[Entry]) -> None:
        """Requeue untouched work: anyone can read it at once, and this delivery does not count."""
        self._requeue(entries, uncounted=1)

    def retry(self, entries: Sequence[Entry]) -> None:
        """Requeue work that failed: anyone can read it at once, and this delivery counts."""
        self._requeue(entries, uncounted=0)

    def commit_verdict(
        self, entry: Entry, verdict: Verdict, diagnosis: DiagnosisJob | None
    ) -> Committed | AlreadyCommitted:
        """Set the verdict if absent, end the delivery, put out the result, queue the diagnosis: one step."""
        return self._finish(entry, commit.decided(verdict, diagnosis))

    def commit_verdicts(self, decisions: Sequence[Decided]) -> list[Committed | AlreadyCommitted]:
        """`commit_verdict` for each, in their order: one round trip, and one write to the server's disk."""
        if len(decisions) == 1:
            # A pipeline asks first whether the server has the script; for one that would be a second trip.
            return [self.commit_verdict(each.entry, each.verdict, each.diagnosis) for each in decisions]
        finish = self._connection.scripts["finish"]
        with (
            typed_errors(self._connection.url),
            self._connection.redis.pipeline(transaction=False) as pipeline,
        ):
            for each in decisions:
                ending = commit.decided(each.verdict, each.diagnosis)
                finish(*commit.script_arguments(each.entry, ending), client=pipeline)
            answers = pipeline.execute()
        return [commit.outcome(each.entry, answer) for each, answer in zip(decisions, answers, strict=True)]

    def commit_report(self, entry: Entry, report: DiagnosisReport) -> Committed | AlreadyCommitted:
        """Set the report if absent, end the delivery and put it out for storing, in one step."""
        return self._finish(entry, commit.reported(report))

    def dead_letter(
        self, entry: Entry, problem: Problem, verdict: Verdict | None
    ) -> Committed | AlreadyCommitted:
        """Give a job up: dead letter, and for an inspection its NOT_INSPECTED verdict, in one step.

        Raises ValueError for an inspection without a verdict, since every part must end with one.
        """
        return self._finish(entry, commit.given_up(entry, problem, verdict))

    def refuse(self, result_id: str, problem: Problem, payload: str) -> None:
        """Put what was never accepted and has no caller to tell (a camera's file) among the dead letters."""
        dead = dead_letter(result_id, Queue.INSPECT, 0, problem, payload)
        with typed_errors(self._connection.url):
            self._connection.redis.xadd(
                names.DEAD_STREAM, {"dead_letter": dead.model_dump_json()}, maxlen=ENTRIES_KEPT
            )

    def waiting(self, queue: Queue) -> int:
        """Jobs of the queue without a result: unread ones and those in a worker's hands."""
        with typed_errors(self._connection.url):
            return int(self._connection.redis.xlen(names.queue_stream(queue)))

    def oldest_wait_seconds(self, queue: Queue) -> float:
        """Age in seconds of the queue's oldest job without a result, 0 when there is none.

        Both moments are read from the server's clock.
        """
        with typed_errors(self._connection.url):
            oldest = self._connection.redis.xrange(names.queue_stream(queue), count=1)
            seconds, microseconds = self._connection.redis.time()
        if not oldest:
            return 0.0
        since = int(oldest[0][0].partition("-")[0]) / 1000
        return max(0.0, float(seconds + microseconds / 1e6 - since))

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """The newest dead letters, newest first."""
        with typed_errors(self._connection.url):
            found = self._connection.redis.xrevrange(names.DEAD_STREAM, count=count)
        return [
            DeadLetter.model_validate_json(fields["dead_letter"]).model_copy(
                update={"dead_letter_id": number}
            )
            for number, fields in found
        ]

    def _requeue(self, entries: Sequence[Entry], *, uncounted: int) -> None:
        for (queue, consumer), group in groupby(sorted(entries, key=_holder), key=_holder):
            arguments: list[str | int] = [names.GPU_GROUP, consumer, REQUEUED_IDLE_MS]
            for entry in group:
                arguments += [entry.entry_id, entry.deliveries - uncounted]
            self._connection.run("requeue", [names.queue_stream(queue)], arguments)

    def _finish(self, entry: Entry, ending: commit.Ending) -> Committed | AlreadyCommitted:
        return commit.outcome(entry, self._connection.run("finish", *commit.script_arguments(entry, ending)))


def _holder(entry: Entry) -> tuple[Queue, str]:
    return entry.queue, entry.consumer
