"""The records of the results database: one row per result id, kept after the ledger has forgotten it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from schemas.base import Identifier, Message, Timestamp
from schemas.problem import Problem
from schemas.report import DiagnosisReport
from schemas.verdict import Decision, Verdict

MAX_PAGE = 500

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""Text without control characters, line breaks, and marks that show it in another order than it is kept."""


class StoredResult(Message):
    """One row: the verdict of a part, with its report once there is one."""

    verdict: Verdict
    report: DiagnosisReport | None = None
    problem: Problem | None = None
    """Why the written report was given up."""
    signature: "Signature | None" = None


class Signing(Message):
    """Who signs a report, and with what remark; the moment is the server's to say."""

    signed_by: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=ONE_LINE)
    ]
    """The person's name, as it is to stand on the page; spaces around it are dropped."""
    remark: (
        Annotated[
            str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=ONE_LINE)
        ]
        | None
    ) = None
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
    recipe: Identifier | None = None
    part_id: Identifier | None = None
    lot_id: Identifier | None = None
    decision: Decision | None = None
    defect_class: Identifier | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Results newest first; `next_cursor` is None on the last page."""

    results: tuple[StoredResult, ...]
    next_cursor: str | None
