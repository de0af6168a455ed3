"""The decision on a part, with everything an auditor needs to retrace it."""

from enum import StrEnum
from typing import Self

from pydantic import Base64Bytes, Field, model_validator

from schemas.base import Digest, Identifier, Message, Timestamp
from schemas.evidence import Standing
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.problem import Problem


class Decision(StrEnum):
    """What the line does with the part; NOT_INSPECTED must be treated as REJECT."""

    ACCEPT = "ACCEPT"
    REVIEW = "REVIEW"
    REJECT = "REJECT"
    NOT_INSPECTED = "NOT_INSPECTED"


class ClassScore(Message):
    """The calibrated probability of one class of the recipe."""

    name: Identifier
    probability: float = Field(ge=0.0, le=1.0)


class ProcessingTimes(Message):
    """When the work on a part began and ended (OPC 40100-1), and its stages in milliseconds."""

    start_time: Timestamp
    end_time: Timestamp
    queue_ms: float = Field(ge=0.0)
    """From the job's creation until a worker read it."""
    decode_ms: float = Field(ge=0.0)
    """Fetching the frame and decoding it."""
    engine_ms: float = Field(ge=0.0)
    """Inside the engine: preprocessing, waiting, and the model."""

    @property
    def total_ms(self) -> float:
        """Milliseconds from the creation of the job until its result."""
        return self.queue_ms + (self.end_time - self.start_time).total_seconds() * 1000.0


class Versions(Message):
    """What produced a result: software, model weights and recipe text."""

    code_version: str
    model_name: str
    model_digest: Digest | None
    """SHA-256 over the checkpoint; None where no model looked at the part."""
    recipe_digest: Digest | None
    """SHA-256 of the recipe's canonical JSON: the recipe as it was, whatever its version says.

    None where the recipe was no longer loaded when a worker took the job up; the part is then NOT_INSPECTED.
    """


class Box(Message):
    """A rectangle in pixels of the frame, origin at the top left."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class AnomalyMap(Message):
    """How odd each place of the looked-at rectangle is, beside good parts."""

    area: Box
    """The rectangle of the frame that was looked at, which the map covers."""
    png: Base64Bytes
    """A small grey PNG, 0 as usual to 255 odd."""
    hottest: Box | None = None
    """The region around the oddest place; None where nothing is odd."""


class Verdict(Message):
    """The one decision on a part.

    NOT_INSPECTED carries a problem and no scores; the other three carry scores and no problem. REVIEW and
    REJECT name a defect class, ACCEPT does not. A record that says otherwise is refused.
    """

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    decision: Decision
    defect_class: Identifier | None
    """The most probable class that is not acceptable; None for ACCEPT and NOT_INSPECTED."""
    defect_probability: float | None = Field(ge=0.0, le=1.0)
    """Sum over the classes that are not acceptable; what the two thresholds are compared with."""
    scores: tuple[ClassScore, ...]
    """One per class of the recipe, in recipe order."""
    problem: Problem | None = None
    """Why the part was NOT_INSPECTED."""
    standing: Standing | None = None
    """How far the recipe was to be trusted when it judged; None in records of before there were standings."""
    remarks: tuple[str, ...] = ()
    """Why the decision is another than the thresholds alone would give."""
    anomaly_map: AnomalyMap | None = None
    """Where the part looks odd; None where the language model judged alone."""
    versions: Versions
    processing_times: ProcessingTimes
    creation_time: Timestamp
    is_simulated: bool = False

    @model_validator(mode="after")
    def _inspected_or_not(self) -> Self:
        if self.decision is Decision.NOT_INSPECTED:
            if self.problem is None:
                raise ValueError("NOT_INSPECTED needs a problem that says why")
            if self.scores or self.defect_class is not None or self.defect_probability is not None:
                raise ValueError("NOT_INSPECTED has neither scores nor a defect")
        elif self.problem is not None:
            raise ValueError(f"{self.decision} has no problem; only NOT_INSPECTED has")
        elif not self.scores or self.defect_probability is None:
            raise ValueError(f"{self.decision} needs scores and a defect probability")
        return self

    @model_validator(mode="after")
    def _defect_matches_the_decision(self) -> Self:
        names = [score.name for score in self.scores]
        if len(set(names)) != len(names):
            raise ValueError("a class is scored twice")
        names_a_defect = self.decision in {Decision.REVIEW, Decision.REJECT}
        if names_a_defect != (self.defect_class is not None):
            raise ValueError("REVIEW and REJECT name a defect class, and only they do")
        if self.defect_class is not None and self.defect_class not in names:
            raise ValueError(f"the defect class {self.defect_class!r} is not among the scores")
        return self
