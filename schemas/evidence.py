"""What is known of a recipe's error rates: what it was taught, how it was measured, and its standing."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.base import Digest, Message, Timestamp

LOOSEST_BOUND = 0.2
"""Escape bound above which nothing is accepted: one bad part in five passing is no inspection."""


class Standing(StrEnum):
    """How far a recipe may be trusted, from what was measured."""

    UNTAUGHT = "untaught"
    """Nothing was measured on this part: nothing is accepted."""
    LEARNING = "learning"
    """Measured, but no escape bound is given or it is too loose: nothing is accepted."""
    ASSISTING = "assisting"
    """The escape rate is bounded, without an aim that was set: accepted parts are worth a sample."""
    GUARDED = "guarded"
    """The escape rate is bounded by the aim that was set."""

    @property
    def may_accept(self) -> bool:
        """Whether a verdict of such a recipe may be ACCEPT."""
        return self in {Standing.ASSISTING, Standing.GUARDED}


def _below(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError("write a path below the recipe's own folder, with forward slashes and without `..`")
    return path


class Taught(Message):
    """The artefact that a recipe judges with, by digest; naming an older one is the way back."""

    digest: Digest
    """SHA-256 over the artefact's files."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=240), AfterValidator(_below)]
    """Its folder, relative to the recipe's."""


class Evidence(Message):
    """Error rates measured on parts that the artefact was not taught with, and their bounds."""

    measured_at: Timestamp
    by: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    """Who calibrated."""
    scores: Literal["out-of-fold", "held-out"]
    """Whether the parts were left out in turn while teaching, or never shown at all."""
    data_digest: Digest
    """SHA-256 over the digests and labels of the pictures that were measured on."""
    taught_digest: Digest | None = None
    """The artefact that was measured; None for a recipe that judges by the language model alone."""
    accept_below: float = Field(gt=0.0, lt=1.0)
    reject_from: float = Field(gt=0.0, le=1.0)
    """The thresholds that were measured; moving the recipe's own beyond them voids the evidence."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    good_parts: int = Field(ge=0)
    bad_parts: int = Field(ge=0)
    overkills: int = Field(ge=0)
    escapes: int = Field(ge=0)
    overkill_bound: float | None = Field(default=None, ge=0.0, le=1.0)
    """The true overkill rate lies below this with the confidence; None without good parts."""
    escape_bound: float | None = Field(default=None, ge=0.0, le=1.0)
    """The true escape rate lies below this with the confidence; None without bad parts."""
    review_share: float = Field(ge=0.0, le=1.0)
    """Share of the good parts that a person will have to look at."""
    max_escape: float | None = Field(default=None, gt=0.0, lt=1.0)
    max_overkill: float | None = Field(default=None, gt=0.0, lt=1.0)
    """The aims that were set."""

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        if self.escapes > self.bad_parts or self.overkills > self.good_parts:
            raise ValueError("there are more mistakes than parts")
        if (self.escape_bound is None) != (self.bad_parts == 0):
            raise ValueError("an escape bound needs bad parts, and bad parts give one")
        if (self.overkill_bound is None) != (self.good_parts == 0):
            raise ValueError("an overkill bound needs good parts, and good parts give one")
        return self


def standing_of(
    evidence: Evidence | None, taught: Taught | None, accept_below: float, reject_from: float
) -> Standing:
    """The standing that evidence gives to an artefact at two thresholds.

    Evidence of another artefact counts for nothing. Thresholds that accept more than was measured leave
    no bound; ones that accept less, or reject less, are safer than what was measured.
    """
    if evidence is None or evidence.taught_digest != (taught.digest if taught else None):
        return Standing.UNTAUGHT
    moved = accept_below > evidence.accept_below or reject_from < evidence.reject_from
    if moved or evidence.escape_bound is None or evidence.escape_bound > LOOSEST_BOUND:
        return Standing.LEARNING
    kept = evidence.max_escape is not None and evidence.escape_bound <= evidence.max_escape
    return Standing.GUARDED if kept else Standing.ASSISTING
