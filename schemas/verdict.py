"""The decision on a part, with everything an auditor needs to retrace it."""

from enum import StrEnum

from pydantic import Field

from schemas.base import Digest, Identifier, Message, Timestamp
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


class Versions(Message):
    """What produced a result: software, model weights and recipe text."""

    code_version: str
    model_name: str
    model_digest: Digest | None
    recipe_digest: Digest


class Verdict(Message):
    """The one decision on a part; scores are empty exactly when it was NOT_INSPECTED."""

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
    problem: Problem | None = None
    """Why the part was NOT_INSPECTED."""
    versions: Versions
    processing_times: ProcessingTimes
    creation_time: Timestamp
    is_simulated: bool = False
    is_partial: bool = False
