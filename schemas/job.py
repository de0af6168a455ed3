"""What is asked of a worker: inspect a frame, or diagnose what an inspection escalated."""

from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from schemas.base import Identifier, Message, Timestamp
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.verdict import Decision, Verdict


class InspectionJob(Message):
    """Asks for the verdict on one frame of one part by a deadline; `result_id` makes it idempotent."""

    result_id: Identifier
    """Names the one result this job leads to; the same id with the same content is the same job."""
    job_id: Identifier
    """Names the order or run this part belongs to (OPC 40100-1); the result id where nobody named one."""
    part: PartIdentity
    frame: FrameRef
    creation_time: Timestamp
    deadline: Timestamp
    """The moment after which a verdict is of no use to the line; the part is then NOT_INSPECTED."""
    is_simulated: bool = False
    """Whether the line ran in simulation when the frame was taken (OPC 40100-1)."""
    unusable_reason: Annotated[str, StringConstraints(min_length=1, max_length=240)] | None = None
    """Why the gateway found the frame unfit (dark, blurred, frozen); such a part is NOT_INSPECTED."""


class DiagnosisJob(Message):
    """Asks for the written report on a part whose verdict was escalated."""

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    verdict: Verdict
    creation_time: Timestamp

    @model_validator(mode="after")
    def _explains_its_own_inspection(self) -> Self:
        if self.verdict.result_id != self.result_id:
            raise ValueError(f"the verdict is on {self.verdict.result_id}, not on {self.result_id}")
        if self.verdict.decision is Decision.NOT_INSPECTED:
            raise ValueError("a part that was not inspected has nothing to diagnose")
        return self
