"""What the API answers with; jobs, verdicts and reports themselves are in schemas."""

from schemas.base import Identifier, Message, Timestamp
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.problem import Problem
from schemas.verdict import Verdict
from services.infra.stores.ledger import DeadLetter, Stage
from services.infra.stores.results import Signature


class Links(Message):
    """Where the rest about a result is found."""

    self: str
    image: str
    report: str | None = None
    """Set once a report is written."""


class AcceptedInspection(Message):
    """The answer to a submission; the same request again gets the same answer."""

    result_id: Identifier
    job_id: Identifier
    part: PartIdentity
    frame: FrameRef
    creation_time: Timestamp
    deadline: Timestamp
    is_simulated: bool
    links: Links


class InspectionState(Message):
    """How far an inspection has come, and its verdict once there is one."""

    result_id: Identifier
    stage: Stage
    part: PartIdentity
    frame: FrameRef
    verdict: Verdict | None
    problem: Problem | None
    """Why the job or its report was given up."""
    signature: Signature | None
    links: Links


class ListedResult(Message):
    """One result in a list."""

    verdict: Verdict
    problem: Problem | None
    is_signed: bool
    links: Links


class ResultPage(Message):
    """Results newest first; `next` is the URL of the following page, None on the last."""

    results: tuple[ListedResult, ...]
    next: str | None


class DeadLetterList(Message):
    """The newest jobs that were given up, newest first."""

    dead_letters: tuple[DeadLetter, ...]


def links_of(result_id: str, *, has_report: bool) -> Links:
    """The links of one result."""
    own = f"/v1/inspections/{result_id}"
    return Links(self=own, image=f"{own}/image", report=f"/v1/reports/{result_id}" if has_report else None)
