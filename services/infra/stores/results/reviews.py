"""What people decide on a part: records that are only ever added, beside the verdict."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Identifier, Message, Timestamp
from services.infra.stores.results.text import PersonName, Remark


class VerificationState(StrEnum):
    """What a person found (IPC-CFX `VerificationResult`); of an accepted part as of a rejected one."""

    NOT_VERIFIED_YET = "NotVerifiedYet"
    """Nobody has decided, somebody cannot tell, or the last decision was undone."""
    CONFIRMED = "DefectConfirmed"
    """The part has a defect; on an accepted part this is an escape."""
    REJECTED = "DefectRejected"
    """The part has no defect; on a rejected part this is overkill."""
    ACCEPTED = "DefectAccepted"
    """There is a defect, and the part may be used as it is."""
    REPAIRED = "DefectRepaired"
    """There was a defect, and it was put right."""
    CLOSED = "DefectClosed"
    """The defect is settled by other means, such as scrapping the part."""


class ReasonCode(StrEnum):
    """Why a person decided as they did, where that is worth counting."""

    CANNOT_TELL = "cannot-tell"
    UNDONE = "undone"
    LIGHTING = "lighting"
    DIRT = "dirt"
    POSITION = "position"
    WRONG_CLASS = "wrong-class"
    WITHIN_LIMITS = "within-limits"
    OTHER = "other"


WITHOUT_DECISION = frozenset({ReasonCode.CANNOT_TELL, ReasonCode.UNDONE})
"""The reasons that a record without a decision has, and only such a record."""


class HeldBefore(Message):
    """What is held of a part at one moment."""

    verification: VerificationState
    defect_class: Identifier | None


class ReviewDraft(Message):
    """What a person decides on a part; the moment and what was held before are the server's to say."""

    reviewer: PersonName
    verification: VerificationState
    defect_class: Identifier | None = None
    """The class the person sees; None where they see no defect or name none."""
    reason: ReasonCode | None = None
    remark: Remark | None = None
    follows: int = Field(default=0, ge=0)
    """How many reviews of this part the person has seen; another number is refused."""

    @model_validator(mode="after")
    def _decides_or_says_why_not(self) -> Self:
        is_open = self.verification is VerificationState.NOT_VERIFIED_YET
        if is_open != (self.reason in WITHOUT_DECISION):
            raise ValueError("NotVerifiedYet goes with the reason cannot-tell or undone, and only with those")
        if self.defect_class is not None and (is_open or self.verification is VerificationState.REJECTED):
            raise ValueError(f"{self.verification.value} names no defect class")
        return self


class Review(ReviewDraft):
    """One decision on one part: who, when, what was held before, what is held now."""

    result_id: Identifier
    number: Annotated[int, Field(ge=1)]
    """The place of this record among the reviews of its part."""
    reviewed_at: Timestamp
    before: HeldBefore


Holder = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""Who holds a part under review: one browser, or one program."""
