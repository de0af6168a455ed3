"""The ledger in this process: the same rules as on Redis, for tests and tools."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Verdict
from services.infra.process.errors import DuplicateConflict
from services.infra.process.names import Queue
from services.infra.stores.ledger import events as ledger_events
from services.infra.stores.ledger.port import (
    Added,
    AlreadyCommitted,
    CameraFrame,
    Committed,
    DeadLetter,
    Decided,
    Duplicate,
    Entry,
    Event,
    Heartbeat,
    JobState,
    ResultEntry,
    Stage,
    stage_before_dead_letter,
)

HEARTBEAT_KEPT = timedelta(days=1)
EVENTS_KEPT = 10_000

Work = TypeVar("Work")


@dataclass(slots=True)
class _Delivery(Generic[Work]):
    """One entry of a stream: the work, who holds it since when, and how often it was handed out."""

    work: Work
    moment: float
    consumer: str | None = None
    seen: float = 0.0
    deliveries: int = 0


class _Stream(Generic[Work]):
    """Entries that are handed out until they are removed, oldest first."""

    def __init__(self, lease_ms: int) -> None:
        self._lease_seconds = lease_ms / 1000
        self._numbers = 0
        self.entries: dict[str, _Delivery[Work]] = {}

    def append(self, work: Work) -> None:
        self._numbers += 1
        self.entries[f"{self._numbers}-0"] = _Delivery(work, time.monotonic())

    def take(self, consumer: str, count: int) -> list[tuple[str, _Delivery[Work]]]:
        now = time.monotonic()
        held = [item for item in self.entries.items() if item[1].consumer is not None]
        abandoned = [item for item in held if now - item[1].seen >= self._lease_seconds]
        unread = [item for item in self.entries.items() if item[1].consumer is None]
        taken = (abandoned + unread)[:count]
        for _, delivery in taken:
            delivery.consumer, delivery.seen = consumer, now
            delivery.deliveries += 1
        return taken

    def held_by(self, entry_id: str, consumer: str) -> _Delivery[Work] | None:
        delivery = self.entries.get(entry_id)
        return delivery if delivery is not None and delivery.consumer == consumer else None

    def requeue(self, entry_id: str, consumer: str, deliveries: int) -> None:
        delivery = self.held_by(entry_id, consumer)
        if delivery is not None:
            delivery.seen, delivery.deliveries = float("-inf"), deliveries


class MemoryLedger:
    """See Ledger; every method is one step under one lock, as a Lua script is on Redis."""

    def __init__(self, lease_ms: int = 30_000) -> None:
        self._lock = threading.RLock()
        self._event_added = threading.Condition(self._lock)
        self._queues: dict[Queue, _Stream[InspectionJob | DiagnosisJob]] = {
            queue: _Stream(lease_ms) for queue in Queue
        }
        self._results: _Stream[ResultEntry] = _Stream(lease_ms)
        self._states: dict[str, JobState] = {}
        self._digests: dict[str, str] = {}
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._event_number = 0
        self._dead: list[DeadLetter] = []
        self._heartbeats: dict[str, Heartbeat] = {}
        self._cameras: dict[str, CameraFrame] = {}
        self._counters: dict[str, int] = {}

    def add(self, job: InspectionJob, body_digest: str) -> Added | Duplicate:
        """See Ledger.add."""
        with self._lock:
            known = self._digests.setdefault(job.result_id, body_digest)
            if known != body_digest:
                raise DuplicateConflict(
                    f"result id {job.result_id!r} was used with another body",
                    hint="use a new id for a new request",
                )
            if job.result_id in self._states:
                return Duplicate(job.result_id)
            self._states[job.result_id] = JobState(stage=Stage.WAITING, job=job)
            self._queues[Queue.INSPECT].append(job)
            self._publish(ledger_events.accepted(job, datetime.now(UTC)))
            return Added(job.result_id)

    def state(self, result_id: str) -> JobState | None:
        """See Ledger.state."""
        with self._lock:
            return self._states.get(result_id)

    def read(self, queue: Queue, consumer: str, count: int) -> list[Entry]:
        """See Ledger.read."""
        with self._lock:
            return [
                Entry(entry_id, queue, consumer, delivery.deliveries, delivery.work)
                for entry_id, delivery in self._queues[queue].take(consumer, count)
            ]

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:
        """See Ledger.renew."""
        kept = []
        with self._lock:
            for entry in entries:
                delivery = self._queues[entry.queue].held_by(entry.entry_id, consumer)
                if delivery is not None:
                    delivery.seen = time.monotonic()
                    kept.append(entry)
        return kept

    def release(self, entries: Sequence[Entry]) -> None:
        """See Ledger.release."""
        with self._lock:
            for entry in entries:
                self._queues[entry.queue].requeue(entry.entry_id, entry.consumer, entry.deliveries - 1)

    def retry(self, entries: Sequence[Entry]) -> None:
        """See Ledger.retry."""
        with self._lock:
            for entry in entries:
                self._queues[entry.queue].requeue(entry.entry_id, entry.consumer, entry.deliveries)

    def commit_verdict(
        self, entry: Entry, verdict: Verdict, diagnosis: DiagnosisJob | None
    ) -> Committed | AlreadyCommitted:
        """See Ledger.commit_verdict."""
        with self._lock:
            state = self._end_delivery(entry)
            if state is None or state.stage is not Stage.WAITING:
                return AlreadyCommitted(verdict.result_id)
            stage = Stage.DECIDED if diagnosis is None else Stage.DIAGNOSING
            self._set(state, stage=stage, verdict=verdict)
            if diagnosis is not None:
                self._queues[Queue.DIAGNOSE].append(diagnosis)
            self._results.append(ResultEntry("", verdict.result_id, stage, verdict=verdict))
            self._publish(ledger_events.decided(verdict))
            return Committed(verdict.result_id)

    def commit_verdicts(self, decisions: Sequence[Decided]) -> list[Committed | AlreadyCommitted]:
        """See Ledger.commit_verdicts."""
        return [self.commit_verdict(each.entry, each.verdict, each.diagnosis) for each in decisions]

    def commit_report(self, entry: Entry, report: DiagnosisReport) -> Committed | AlreadyCommitted:
        """See Ledger.commit_report."""
        with self._lock:
            state = self._end_delivery(entry)
            if state is None or state.stage is not Stage.DIAGNOSING:
                return AlreadyCommitted(report.result_id)
            self._set(state, stage=Stage.REPORTED, report=report)
            self._results.append(ResultEntry("", report.result_id, Stage.REPORTED, report=report))
            self._publish(ledger_events.reported(report))
            return Committed(report.result_id)

    def dead_letter(
        self, entry: Entry, problem: Problem, verdict: Verdict | None
    ) -> Committed | AlreadyCommitted:
        """See Ledger.dead-letter."""
        result_id = entry.job.result_id
        expected = stage_before_dead_letter(entry, verdict)
        with self._lock:
            state = self._end_delivery(entry)
            if state is None or state.stage is not expected:
                return AlreadyCommitted(result_id)
            moment = datetime.now(UTC)
            self._set(state, stage=Stage.DEAD, problem=problem, verdict=verdict or state.verdict)
            self._dead.append(
                self._letter(result_id, entry.queue, entry.deliveries, problem, entry.job.model_dump_json())
            )
            self._results.append(ResultEntry("", result_id, Stage.DEAD, verdict=verdict, problem=problem))
            self._publish(ledger_events.buried(entry, verdict, moment))
            return Committed(result_id)

    def refuse(self, result_id: str, problem: Problem, payload: str) -> None:
        """See Ledger.refuse."""
        with self._lock:
            self._dead.append(self._letter(result_id, Queue.INSPECT, 0, problem, payload))

    def waiting(self, queue: Queue) -> int:
        """See Ledger.waiting."""
        with self._lock:
            return len(self._queues[queue].entries)

    def oldest_wait_seconds(self, queue: Queue) -> float:
        """See Ledger.oldest_wait_seconds."""
        with self._lock:
            moments = [delivery.moment for delivery in self._queues[queue].entries.values()]
        return time.monotonic() - min(moments) if moments else 0.0

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """See Ledger.dead_letters."""
        with self._lock:
            return self._dead[::-1][:count]

    def newest_event_id(self) -> str:
        """See Ledger.newest_event_id."""
        with self._lock:
            return f"{self._event_number}-0"

    def events_after(self, event_id: str, count: int, block_ms: int) -> list[Event]:
        """See Ledger.events_after."""
        number = int(ledger_events.checked_event_id(event_id).partition("-")[0])
        with self._event_added:
            self._event_added.wait_for(lambda: self._event_number > number, timeout=block_ms / 1000)
            later = [event for event in self._events if int(event.event_id.partition("-")[0]) > number]
        return later[:count]

    def read_results(self, consumer: str, count: int) -> list[ResultEntry]:
        """See Ledger.read_results."""
        with self._lock:
            taken = self._results.take(consumer, count)
            return [replace(delivery.work, entry_id=entry_id) for entry_id, delivery in taken]

    def acknowledge_results(self, entries: Sequence[ResultEntry]) -> None:
        """See Ledger.acknowledge_results; this process keeps the records for its lifetime."""
        with self._lock:
            for entry in entries:
                self._results.entries.pop(entry.entry_id, None)

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """See Ledger.heartbeat."""
        with self._lock:
            self._heartbeats[heartbeat.name] = heartbeat

    def heartbeats(self) -> list[Heartbeat]:
        """See Ledger.heartbeats."""
        with self._lock:
            oldest = datetime.now(UTC) - HEARTBEAT_KEPT
            self._heartbeats = {
                name: heartbeat for name, heartbeat in self._heartbeats.items() if heartbeat.moment >= oldest
            }
            return sorted(self._heartbeats.values(), key=lambda heartbeat: heartbeat.name)

    def note_frame(self, camera_id: str, moment: datetime, outcome: str) -> None:
        """See Ledger.note_frame."""
        with self._lock:
            self._cameras[camera_id] = CameraFrame(camera_id=camera_id, moment=moment, outcome=outcome)

    def last_frames(self) -> list[CameraFrame]:
        """See Ledger.last_frames."""
        with self._lock:
            return sorted(self._cameras.values(), key=lambda frame: frame.camera_id)

    def count(self, name: str, by: int = 1) -> None:
        """See Ledger.count."""
        with self._lock:
            self._counters[name] = self._counters.get(name, 0) + by

    def counters(self) -> dict[str, int]:
        """See Ledger.counters."""
        with self._lock:
            return dict(self._counters)

    def used_fraction(self) -> float:
        """See Ledger.used_fraction."""
        return 0.0

    def _end_delivery(self, entry: Entry) -> JobState | None:
        self._queues[entry.queue].entries.pop(entry.entry_id, None)
        return self._states.get(entry.job.result_id)

    def _letter(
        self, result_id: str, queue: Queue, deliveries: int, problem: Problem, payload: str
    ) -> DeadLetter:
        return DeadLetter(
            letter_id=f"{len(self._dead) + 1}-0",
            result_id=result_id,
            queue=queue,
            deliveries=deliveries,
            problem=problem,
            payload=payload,
            moment=datetime.now(UTC),
        )

    def _set(self, state: JobState, **changes: object) -> None:
        self._states[state.job.result_id] = state.model_copy(update=changes)

    def _publish(self, event: Event) -> None:
        self._event_number += 1
        self._events.append(event.model_copy(update={"event_id": f"{self._event_number}-0"}))
        self._event_added.notify_all()
