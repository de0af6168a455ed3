"""The written diagnosis of an escalated part, a DRAFT until a person signs it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Identifier, Message, Timestamp
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.verdict import Decision, ProcessingTimes, Versions

CANNOT_TELL = "cannot tell"
"""The legal answer wherever the image does not show it."""

Sentence = Annotated[str, StringConstraints(min_length=1, max_length=240)]
"""One sentence of the model's, or the words `cannot tell`."""

Severity = Literal["none", "minor", "major", "critical", "cannot tell"]
"""How bad a defect is for the part's function; `none` only for a part without one."""

Likelihood = Literal["low", "medium", "high", "cannot tell"]
"""How probable a cause is on the evidence in the image."""


class Cause(Message):
    """A hypothesis on what made the defect, and how likely it is on this evidence."""

    cause: Sentence
    likelihood: Likelihood


class Diagnosis(Message):
    """What the model writes: every field may be `cannot tell`. Its JSON schema constrains generation.

    The order of the fields is the order in which the model writes them: what it sees before what follows.
    """

    defect: Sentence
    where: Sentence
    severity: Severity
    evidence: Annotated[tuple[Sentence, ...], Field(min_length=1, max_length=4)]
    probable_causes: Annotated[tuple[Cause, ...], Field(min_length=1, max_length=3)]
    containment: Sentence
    corrective_actions: Annotated[tuple[Sentence, ...], Field(min_length=1, max_length=3)]


class ReportState(StrEnum):
    """DRAFT until signed; SIGNED by a person after that."""

    DRAFT = "DRAFT"
    SIGNED = "SIGNED"


class DiagnosisReport(Message):
    """A diagnosis with the part, the verdict it explains and what produced it."""

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    decision: Decision
    defect_class: Identifier | None
    """The class the verdict named, beside the model's own words in `diagnosis.defect`."""
    diagnosis: Diagnosis
    reasoning: str
    """What the model thought before it wrote; for the reader of the report, never parsed."""
    state: ReportState = ReportState.DRAFT
    versions: Versions
    processing_times: ProcessingTimes
    creation_time: Timestamp
    is_simulated: bool = False
