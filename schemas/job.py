"""What is asked of a worker: inspect a frame, or diagnose what an inspection escalated."""

from schemas.base import Identifier, Message, Timestamp
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.verdict import Verdict


class InspectionJob(Message):
    """Asks for the verdict on one frame of one part by a deadline; `result_id` makes it idempotent."""

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    creation_time: Timestamp
    deadline: Timestamp
    is_simulated: bool = False
    is_partial: bool = False
    unusable_reason: str | None = None
    """Why the gateway found the frame unfit to judge (dark, blurred, frozen); such a part is NOT_INSPECTED."""


class DiagnosisJob(Message):
    """Asks for the written report on a part whose verdict was escalated."""

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    verdict: Verdict
    creation_time: Timestamp
