"""The ledger on Redis: streams hold what waits, a hash holds each job, one Lua script makes each step."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import Any, TypeAlias, TypeVar

import structlog
from pydantic import ValidationError

from schemas.base import Message
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.process import names
from services.infra.process.errors import DuplicateConflict, RecordInvalid
from services.infra.process.names import Queue
from services.infra.stores.ledger import events as ledger_events
from services.infra.stores.ledger.board import RedisBoard
from services.infra.stores.ledger.port import (
    Added,
    AlreadyCommitted,
    Committed,
    DeadLetter,
    Decided,
    Duplicate,
    Entry,
    Event,
    JobState,
    ResultEntry,
    Stage,
    stage_before_dead_letter,
)
from services.infra.stores.ledger.presence import RETURN_MS, STALE_MS
from services.infra.stores.redis_client import connect, script_text, typed_errors

ENTRIES_KEPT = 10_000
"""Events and dead letters kept, about; older ones go."""
RECORD_KEPT_SECONDS = 86_400
CONSUMER_KEPT_MS = 86_400_000
HANDED_BACK_IDLE_MS = 86_400_000
MAX_BLOCK_MS = 10_000

_UNNUMBERED = "0-0"
_Taken: TypeAlias = tuple[str, int, dict[str, str]]
"""Entry id, deliveries, fields."""

Kind = TypeVar("Kind", bound=Message)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a delivery ends: from which stage to which, with what results, and what follows."""

    expected: Stage
    reached: Stage
    event: Event
    results: dict[str, Message]
    diagnosis: DiagnosisJob | None = None
    letter: DeadLetter | None = None


class RedisLedger(RedisBoard):
    """See Ledger. Connects on first use; `lease_ms` without a heartbeat frees a job for others."""

    def __init__(self, url: str, lease_ms: int = 30_000) -> None:
        super().__init__(url)
        self._lease_ms = lease_ms
        # Waiting for an event takes longer than an answer may, so the feed has its own connections.
        self._feed = connect(url, as_text=True, answer_timeout=MAX_BLOCK_MS / 1000 + 5)
        scripts = ("add", "read", "renew", "requeue", "finish", "discard", "acknowledge", "retire")
        self._scripts = {name: self._redis.register_script(script_text(name)) for name in scripts}
        self._retired: set[str] = set()

    def add(self, job: InspectionJob, body_digest: str) -> Added | Duplicate:
        """See Ledger.add."""
        event = ledger_events.accepted(job, datetime.now(UTC))
        outcome = self._run(
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
        """See Ledger.state. Raises RecordInvalid for a record that another version wrote."""
        with typed_errors(self._url):
            stage, *texts = self._redis.hmget(
                names.job_key(result_id), ["stage", "job", "verdict", "report", "problem"]
            )
        if stage is None:
            return None
        job, verdict, report, problem = texts
        try:
            return JobState(
                stage=Stage(stage),
                job=InspectionJob.model_validate_json(job),
                verdict=_message(Verdict, verdict),
                report=_message(DiagnosisReport, report),
                problem=_message(Problem, problem),
            )
        except ValueError as error:
            raise _unreadable(result_id, error) from error

    def read(self, queue: Queue, consumer: str, count: int) -> list[Entry]:
        """See Ledger.read."""
        kind = InspectionJob if queue is Queue.INSPECT else DiagnosisJob
        entries = []
        for entry_id, deliveries, fields in self._take(
            names.queue_stream(queue), names.GPU_GROUP, consumer, count
        ):
            try:
                job = kind.model_validate_json(fields["job"])
            except (ValidationError, KeyError) as error:
                self._discard(queue, entry_id, deliveries, fields, error)
            else:
                entries.append(Entry(entry_id, queue, consumer, deliveries, job))
        return entries

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:
        """See Ledger.renew."""
        held: set[tuple[Queue, str]] = set()
        for queue in {entry.queue for entry in entries}:
            ids = [entry.entry_id for entry in entries if entry.queue is queue]
            kept = self._run("renew", [names.queue_stream(queue)], [names.GPU_GROUP, consumer, *ids])
            held |= {(queue, entry_id) for entry_id in kept}
        return [entry for entry in entries if (entry.queue, entry.entry_id) in held]

    def release(self, entries: Sequence[Entry]) -> None:
        """See Ledger.release."""
        self._hand_back(entries, uncounted=1)

    def retry(self, entries: Sequence[Entry]) -> None:
        """See Ledger.retry."""
        self._hand_back(entries, uncounted=0)

    def commit_verdict(
        self, entry: Entry, verdict: Verdict, diagnosis: DiagnosisJob | None
    ) -> Committed | AlreadyCommitted:
        """See Ledger.commit_verdict."""
        return self._finish(entry, _decision(verdict, diagnosis))

    def commit_verdicts(self, decisions: Sequence[Decided]) -> list[Committed | AlreadyCommitted]:
        """See Ledger.commit_verdicts; one round trip, and one write to the server's disk, for all."""
        if len(decisions) == 1:
            # A pipeline asks first whether the server has the script; for one that would be a second trip.
            return [self.commit_verdict(each.entry, each.verdict, each.diagnosis) for each in decisions]
        endings = [(each.entry, _decision(each.verdict, each.diagnosis)) for each in decisions]
        finish = self._scripts["finish"]
        with typed_errors(self._url), self._redis.pipeline(transaction=False) as pipeline:
            for entry, ending in endings:
                finish(*_finish_arguments(entry, ending), client=pipeline)
            outcomes = pipeline.execute()
        return [_outcome(entry, outcome) for (entry, _), outcome in zip(endings, outcomes, strict=True)]

    def commit_report(self, entry: Entry, report: DiagnosisReport) -> Committed | AlreadyCommitted:
        """See Ledger.commit_report."""
        ending = _Ending(
            expected=Stage.DIAGNOSING,
            reached=Stage.REPORTED,
            event=ledger_events.reported(report),
            results={"report": report},
        )
        return self._finish(entry, ending)

    def dead_letter(
        self, entry: Entry, problem: Problem, verdict: Verdict | None
    ) -> Committed | AlreadyCommitted:
        """See Ledger.dead-letter."""
        results: dict[str, Message] = {"problem": problem}
        if verdict is not None:
            results["verdict"] = verdict
        ending = _Ending(
            expected=stage_before_dead_letter(entry, verdict),
            reached=Stage.DEAD,
            event=ledger_events.buried(entry, verdict, datetime.now(UTC)),
            results=results,
            letter=_letter(
                entry.job.result_id, entry.queue, entry.deliveries, problem, entry.job.model_dump_json()
            ),
        )
        return self._finish(entry, ending)

    def refuse(self, result_id: str, problem: Problem, payload: str) -> None:
        """See Ledger.refuse."""
        letter = _letter(result_id, Queue.INSPECT, 0, problem, payload)
        with typed_errors(self._url):
            self._redis.xadd(names.DEAD_STREAM, {"letter": letter.model_dump_json()}, maxlen=ENTRIES_KEPT)

    def waiting(self, queue: Queue) -> int:
        """See Ledger.waiting."""
        with typed_errors(self._url):
            return int(self._redis.xlen(names.queue_stream(queue)))

    def oldest_wait_seconds(self, queue: Queue) -> float:
        """See Ledger.oldest_wait_seconds; both moments are read from the server's clock."""
        with typed_errors(self._url):
            oldest = self._redis.xrange(names.queue_stream(queue), count=1)
            seconds, microseconds = self._redis.time()
        if not oldest:
            return 0.0
        since = int(oldest[0][0].partition("-")[0]) / 1000
        return max(0.0, float(seconds + microseconds / 1e6 - since))

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """See Ledger.dead_letters."""
        with typed_errors(self._url):
            found = self._redis.xrevrange(names.DEAD_STREAM, count=count)
        return [
            DeadLetter.model_validate_json(fields["letter"]).model_copy(update={"letter_id": letter_id})
            for letter_id, fields in found
        ]

    def newest_event_id(self) -> str:
        """See Ledger.newest_event_id."""
        with typed_errors(self._url):
            newest = self._redis.xrevrange(names.EVENTS_STREAM, count=1)
        return str(newest[0][0]) if newest else _UNNUMBERED

    def events_after(self, event_id: str, count: int, block_ms: int) -> list[Event]:
        """See Ledger.events_after."""
        after = {names.EVENTS_STREAM: ledger_events.checked_event_id(event_id)}
        # To Redis, BLOCK 0 means for ever; not to block at all is to leave it out.
        block = min(block_ms, MAX_BLOCK_MS) or None
        with typed_errors(self._url):
            found = self._feed.xread(after, count=count, block=block)
        return [
            Event.model_validate_json(fields["event"]).model_copy(update={"event_id": number})
            for _, entries in found
            for number, fields in entries
        ]

    def read_results(self, consumer: str, count: int) -> list[ResultEntry]:
        """See Ledger.read_results."""
        entries = []
        taken = self._take(names.RESULTS_STREAM, names.RESULTS_GROUP, consumer, count)
        for entry_id, deliveries, fields in taken:
            try:
                entries.append(_result(entry_id, fields))
            except (ValidationError, KeyError, ValueError) as error:
                self._discard(None, entry_id, deliveries, fields, error)
        return entries

    def acknowledge_results(self, entries: Sequence[ResultEntry]) -> None:
        """See Ledger.acknowledge_results."""
        self._run(
            "acknowledge",
            [names.RESULTS_STREAM, *(names.job_key(entry.result_id) for entry in entries)],
            [names.RESULTS_GROUP, RECORD_KEPT_SECONDS, *(entry.entry_id for entry in entries)],
        )

    def _run(self, script: str, keys: list[str], arguments: list[str | int]) -> Any:  # noqa: ANN401
        with typed_errors(self._url):
            return self._scripts[script](keys, arguments)

    def _take(self, stream: str, group: str, consumer: str, count: int) -> Iterator[_Taken]:
        if stream not in self._retired:
            self._run("retire", [stream], [group, CONSUMER_KEPT_MS])
            self._retired.add(stream)
        arguments: list[str | int] = [group, consumer, count, self._lease_ms, HANDED_BACK_IDLE_MS]
        arguments += [names.presence_key(""), STALE_MS, RETURN_MS]
        for entry_id, deliveries, flat in self._run("read", [stream, names.SERVER_HASH], arguments):
            yield entry_id, deliveries, dict(zip(flat[::2], flat[1::2], strict=True))

    def _hand_back(self, entries: Sequence[Entry], *, uncounted: int) -> None:
        for (queue, consumer), group in groupby(sorted(entries, key=_holder), key=_holder):
            arguments: list[str | int] = [names.GPU_GROUP, consumer, HANDED_BACK_IDLE_MS]
            for entry in group:
                arguments += [entry.entry_id, entry.deliveries - uncounted]
            self._run("requeue", [names.queue_stream(queue)], arguments)

    def _finish(self, entry: Entry, ending: _Ending) -> Committed | AlreadyCommitted:
        return _outcome(entry, self._run("finish", *_finish_arguments(entry, ending)))

    def _discard(
        self, queue: Queue | None, entry_id: str, deliveries: int, fields: dict[str, str], error: Exception
    ) -> None:
        result_id = fields.get("result_id", "")
        problem = _unreadable(result_id, error).problem()
        letter = _letter(result_id, queue, deliveries, problem, json.dumps(fields))
        stream, group = (
            (names.RESULTS_STREAM, names.RESULTS_GROUP)
            if queue is None
            else (names.queue_stream(queue), names.GPU_GROUP)
        )
        self._run(
            "discard",
            [stream, names.job_key(result_id), names.DEAD_STREAM],
            [group, entry_id, letter.model_dump_json(), problem.model_dump_json(), ENTRIES_KEPT],
        )
        log.error("unreadable entry moved to the dead letters", stream=stream, result_id=result_id)


def _decision(verdict: Verdict, diagnosis: DiagnosisJob | None) -> _Ending:
    return _Ending(
        expected=Stage.WAITING,
        reached=Stage.DECIDED if diagnosis is None else Stage.DIAGNOSING,
        event=ledger_events.decided(verdict),
        results={"verdict": verdict},
        diagnosis=diagnosis,
    )


def _finish_arguments(entry: Entry, ending: _Ending) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of the script `finish`."""
    result_id = entry.job.result_id
    keys = [
        names.queue_stream(entry.queue),
        names.job_key(result_id),
        names.RESULTS_STREAM,
        names.EVENTS_STREAM,
        names.queue_stream(Queue.DIAGNOSE),
        names.DEAD_STREAM,
    ]
    return keys, [
        names.GPU_GROUP,
        entry.entry_id,
        result_id,
        ending.expected.value,
        ending.reached.value,
        ending.event.model_dump_json(),
        ENTRIES_KEPT,
        _text(ending.diagnosis),
        _text(ending.letter),
        *chain.from_iterable((field, _text(result)) for field, result in ending.results.items()),
    ]


def _outcome(entry: Entry, answered: str) -> Committed | AlreadyCommitted:
    result_id = entry.job.result_id
    return Committed(result_id) if answered == "committed" else AlreadyCommitted(result_id)


def _letter(
    result_id: str, queue: Queue | None, deliveries: int, problem: Problem, payload: str
) -> DeadLetter:
    return DeadLetter(
        letter_id=_UNNUMBERED,
        result_id=result_id,
        queue=queue,
        deliveries=deliveries,
        problem=problem,
        payload=payload,
        moment=datetime.now(UTC),
    )


def _holder(entry: Entry) -> tuple[Queue, str]:
    return entry.queue, entry.consumer


def _text(message: Message | None) -> str:
    return "" if message is None else message.model_dump_json()


def _message(kind: type[Kind], text: str | None) -> Kind | None:
    return None if text is None else kind.model_validate_json(text)


def _result(entry_id: str, fields: dict[str, str]) -> ResultEntry:
    return ResultEntry(
        entry_id,
        fields["result_id"],
        Stage(fields["stage"]),
        verdict=_message(Verdict, fields.get("verdict")),
        report=_message(DiagnosisReport, fields.get("report")),
        problem=_message(Problem, fields.get("problem")),
    )


def _unreadable(result_id: str, error: Exception) -> RecordInvalid:
    return RecordInvalid(
        f"the record of {result_id!r} cannot be read: {error}",
        hint="it was written by another version; finish old jobs before an update, and submit this one again",
    )
