"""The records of the results database: one row per result id, kept after the ledger has forgotten it."""

from dataclasses import dataclass

from schemas.base import Identifier, Message, Timestamp
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, Verdict
from services.infra.stores.results.reviews import VerificationState
from services.infra.stores.results.text import PersonName, Remark

MAX_PAGE = 500


class StoredResult(Message):
    """One row: the verdict of a part, with its report once there is one."""

    verdict: Verdict
    report: DiagnosisReport | None = None
    problem: Problem | None = None
    """Why the written report was given up."""
    signature: "Signature | None" = None
    verification: VerificationState = VerificationState.NOT_VERIFIED_YET
    """What the last review says."""


class Signing(Message):
    """Who signs a report, and with what remark; the moment is the server's to say."""

    signed_by: PersonName
    """The person's name, as it is to stand on the page; spaces around it are dropped."""
    remark: Remark | None = None
    """What the person adds to the report; spaces around it are dropped."""


class Signature(Signing):
    """Who signed a report, when, and with what remark."""

    signed_at: Timestamp

    def repeats(self, other: "Signature") -> bool:
        """Whether the same person says the same again, at whatever moment."""
        return (self.signed_by, self.remark) == (other.signed_by, other.remark)


class ResultFilters(Message):
    """What a page is narrowed to: None leaves a field open; `since` is included, `until` is not."""

    station: Identifier | None = None
    camera: Identifier | None = None
    recipe: Identifier | None = None
    part_id: Identifier | None = None
    lot_id: Identifier | None = None
    job_id: Identifier | None = None
    decision: Decision | None = None
    defect_class: Identifier | None = None
    verification: VerificationState | None = None
    has_report: bool | None = None
    is_signed: bool | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Results newest first; `next_cursor` is None on the last page."""

    results: tuple[StoredResult, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many verdicts of one station were which, over a stretch of time."""

    station_id: str
    counts: dict[Decision, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())
