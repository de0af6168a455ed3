"""What a ledger is: the one truth about every accepted job, and the records it hands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import Field

from schemas.base import Identifier, Message, Timestamp
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, Verdict
from services.infra.process.engine_status import EngineStatus
from services.infra.process.names import Queue
from services.infra.process.stages import StageTime


class Stage(StrEnum):
    """How far a job has come; DECIDED, REPORTED and DEAD are final."""

    WAITING = "waiting"
    DECIDED = "decided"
    DIAGNOSING = "diagnosing"
    REPORTED = "reported"
    DEAD = "dead"

    @property
    def is_final(self) -> bool:
        """True when nothing more will happen to the job, so that its pixels may go."""
        return self not in {Stage.WAITING, Stage.DIAGNOSING}


class JobState(Message):
    """All that the ledger knows of one job."""

    stage: Stage
    job: InspectionJob
    verdict: Verdict | None = None
    report: DiagnosisReport | None = None
    problem: Problem | None = None
    """Why the job is DEAD."""


@dataclass(frozen=True, slots=True)
class Added:
    """The job was not known and now waits."""

    result_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same job with the same body was added before; nothing changed."""

    result_id: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The result is written, and it is this one."""

    result_id: str


@dataclass(frozen=True, slots=True)
class AlreadyCommitted:
    """Another delivery finished the job first (or its record has expired); nothing changed."""

    result_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of one job to one consumer; `deliveries` counts from 1."""

    entry_id: str
    queue: Queue
    consumer: str
    deliveries: int
    job: InspectionJob | DiagnosisJob


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict to commit, the delivery that it ends, and the diagnosis that it asks for, if any."""

    entry: Entry
    verdict: Verdict
    diagnosis: DiagnosisJob | None


@dataclass(frozen=True, slots=True)
class ResultEntry:
    """One thing for the result writer to store: a verdict, a report or a problem.

    Only a part whose inspection was given up brings two: its verdict and the problem.
    """

    entry_id: str
    result_id: str
    stage: Stage
    """The stage the job reached with this; while it is not final the pixels are still needed."""
    verdict: Verdict | None = None
    report: DiagnosisReport | None = None
    problem: Problem | None = None


class DeadLetter(Message):
    """A job that was given up, or a file that could never become one, kept where a person finds it."""

    letter_id: str
    result_id: str
    queue: Queue | None
    """None for a result that could not be read on its way to the database."""
    deliveries: int
    problem: Problem
    payload: str
    """The job's JSON as it was delivered, readable or not; for a refused file what its source said of it."""
    moment: Timestamp


class EventKind(StrEnum):
    """What an event tells of."""

    ACCEPTED = "accepted"
    VERDICT = "verdict"
    REPORT = "report"
    DEAD = "dead"


class Event(Message):
    """A line of the live feed; the feed is bounded and not the truth."""

    event_id: str
    kind: EventKind
    result_id: Identifier
    part_id: Identifier
    station_id: Identifier
    camera_id: Identifier
    recipe_id: Identifier
    moment: Timestamp
    decision: Decision | None = None
    defect_class: Identifier | None = None
    defect_probability: float | None = None


class Heartbeat(Message):
    """A process's heartbeat and progress; health looks at `finished`, not only at `moment`."""

    name: str
    kind: str
    """gateway, worker, result writer or api."""
    moment: Timestamp
    started_at: Timestamp
    finished: int = Field(default=0, ge=0)
    """Jobs brought to an end since the start."""
    failures: int = Field(default=0, ge=0)
    """Errors caught at the outermost loop since the start."""
    last_error: str | None = None
    queues: tuple[Queue, ...] = ()
    model_name: str | None = None
    model_digest: str | None = None
    device: str | None = None
    code_version: str | None = None
    fault: str | None = None
    """Why this process cannot go on although it lives; None while it can."""
    engine: EngineStatus | None = None
    """What a worker's engine does."""
    stages: tuple[StageTime, ...] = ()
    """Where this process's own time goes."""


class CameraFrame(Message):
    """The last frame of a camera, and what became of it."""

    camera_id: Identifier
    moment: Timestamp
    outcome: str


class Ledger(Protocol):
    """The truth about accepted jobs. Every method raises StoreUnavailable when the store does not answer.

    Nothing accepted is lost: a job leaves its queue only in the step that writes its result. A second
    delivery changes nothing: results are set if absent.
    """

    def add(self, job: InspectionJob, body_digest: str) -> Added | Duplicate:
        """Accept a job, once per result_id. Raises DuplicateConflict for another digest, StoreFull."""
        ...

    def state(self, result_id: str) -> JobState | None:
        """What is known of a job, or None; a record ends one day after the result writer stored its result."""
        ...

    def read(self, queue: Queue, consumer: str, count: int) -> list[Entry]:
        """Up to `count` jobs, at once: those requeued, those of a lost or silent consumer, then new ones.

        An entry that cannot be parsed goes to the dead letters and is not returned.
        """
        ...

    def renew(self, entries: Sequence[Entry], consumer: str) -> list[Entry]:
        """Give a heartbeat; returns the entries that still belong to the consumer."""
        ...

    def release(self, entries: Sequence[Entry]) -> None:
        """Hand back untouched work: anyone can read it at once, and this delivery does not count."""
        ...

    def retry(self, entries: Sequence[Entry]) -> None:
        """Hand back work that failed: anyone can read it at once, and this delivery counts."""
        ...

    def commit_verdict(
        self, entry: Entry, verdict: Verdict, diagnosis: DiagnosisJob | None
    ) -> Committed | AlreadyCommitted:
        """Set the verdict if absent, end the delivery, tell the result writer, queue the diagnosis: in one step."""
        ...

    def commit_verdicts(self, decisions: Sequence[Decided]) -> list[Committed | AlreadyCommitted]:
        """`commit_verdict` for each, in their order, with one wait for the store: each stands by itself."""
        ...

    def commit_report(self, entry: Entry, report: DiagnosisReport) -> Committed | AlreadyCommitted:
        """Set the report if absent, end the delivery and tell the result writer, in one step."""
        ...

    def dead_letter(
        self, entry: Entry, problem: Problem, verdict: Verdict | None
    ) -> Committed | AlreadyCommitted:
        """Give a job up: dead letter, and for an inspection its NOT_INSPECTED verdict, in one step.

        Raises ValueError for an inspection without a verdict, since every part must end with one.
        """
        ...

    def refuse(self, result_id: str, problem: Problem, payload: str) -> None:
        """Put what was never accepted and has no caller to tell (a camera's file) among the dead letters."""
        ...

    def waiting(self, queue: Queue) -> int:
        """Jobs of the queue without a result: unread ones and those in a worker's hands."""
        ...

    def oldest_wait_seconds(self, queue: Queue) -> float:
        """Age in seconds of the queue's oldest job without a result, 0 when there is none."""
        ...

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """The newest dead letters, newest first."""
        ...

    def newest_event_id(self) -> str:
        """The id to hand to `events_after` to see only what comes next."""
        ...

    def events_after(self, event_id: str, count: int, block_ms: int) -> list[Event]:
        """Up to `count` events after an id ("0": all kept), waiting up to `block_ms` (0 to 10000) for one.

        Raises BadRequest for something that is not an event id.
        """
        ...

    def read_results(self, consumer: str, count: int) -> list[ResultEntry]:
        """Up to `count` results to store, at once: first what another result writer left behind, then new ones."""
        ...

    def acknowledge_results(self, entries: Sequence[ResultEntry]) -> None:
        """Say that results are stored; a job that is at its end is then forgotten after one day."""
        ...

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Note a process's heartbeat under its name."""
        ...

    def heartbeats(self) -> list[Heartbeat]:
        """The last heartbeat of each process seen within a day, by name."""
        ...

    def note_frame(self, camera_id: str, moment: datetime, outcome: str) -> None:
        """Note a camera's newest frame and what became of it."""
        ...

    def last_frames(self) -> list[CameraFrame]:
        """The newest frame of each camera, by camera."""
        ...

    def count(self, name: str, by: int = 1) -> None:
        """Add to a named counter."""
        ...

    def counters(self) -> dict[str, int]:
        """All named counters."""
        ...

    def used_fraction(self) -> float:
        """How full the store's memory is, 0 to 1; 0 when it has no limit."""
        ...


def stage_before_dead_letter(entry: Entry, verdict: Verdict | None) -> Stage:
    """The stage in which a job of this queue can still be given up.

    Raises ValueError for an inspection without a verdict, since every part must end with one.
    """
    if entry.queue is Queue.DIAGNOSE:
        return Stage.DIAGNOSING
    if verdict is None:
        raise ValueError("an inspection is dead-lettered with its NOT_INSPECTED verdict")
    return Stage.WAITING
