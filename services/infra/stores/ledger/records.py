"""The records that the ledger takes and hands out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from schemas.base import Identifier, Message, Timestamp
from schemas.job import DiagnosisJob, InspectionJob
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, Verdict
from services.infra.process.names import Queue

Kind = TypeVar("Kind", bound=Message)


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

    dead_letter_id: str
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


class CameraFrame(Message):
    """The last frame of a camera, and what became of it."""

    camera_id: Identifier
    moment: Timestamp
    outcome: str


def message_or_none(kind: type[Kind], text: str | None) -> Kind | None:
    """The message in a record's field; None where the field is absent. Raises ValidationError."""
    return None if text is None else kind.model_validate_json(text)
