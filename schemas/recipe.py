"""A recipe: what a station looks for, how sure it must be, and what happens with the result."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Identifier, Message
from schemas.report import Severity
from schemas.verdict import Decision

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class DefectClass(Message):
    """One thing a part can be: its name in results, and its wording in the prompt and as the model's answer."""

    name: Identifier
    wording: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    severity: Severity
    acceptable: bool = False


class Thresholds(Message):
    """T1 and T2 on the defect probability: below T1 ACCEPT, from T2 on REJECT, REVIEW in between."""

    accept_below: float = Field(gt=0.0, lt=1.0)
    reject_from: float = Field(gt=0.0, le=1.0)
    temperature: float = Field(default=1.0, gt=0.0, le=10.0)
    """Divides the log-probabilities before the softmax over the classes (Guo et al. 2017, temperature scaling)."""

    @model_validator(mode="after")
    def _ordered(self) -> "Thresholds":
        if self.accept_below > self.reject_from:
            raise ValueError("accept_below must not exceed reject_from")
        return self


class Escalation(Message):
    """Which verdicts get a written report."""

    decisions: tuple[Decision, ...] = (Decision.REVIEW, Decision.REJECT)


class Retention(Message):
    """What becomes of the pixels once the result is stored."""

    accepted: Literal["drop", "archive"] = "drop"
    others: Literal["drop", "archive"] = "archive"
    days: int = Field(default=30, ge=1, le=3650)


class PromptTexts(Message):
    """The words around the image; `{part}` and `{classes}` are filled in from the recipe."""

    inspect: Text = "Inspect the {part}. Answer with one of: {classes}."
    diagnose: Text = "Diagnose the {part}. Defects looked for: {classes}. Write the report."


class Region(Message):
    """A rectangle in fractions of width and height, origin at the top left."""

    x: float = Field(ge=0.0, lt=1.0)
    y: float = Field(ge=0.0, lt=1.0)
    width: float = Field(gt=0.0, le=1.0)
    height: float = Field(gt=0.0, le=1.0)


class Regions(Message):
    """The part of the image the model sees, and rectangles greyed out before it looks."""

    inspect: Region | None = None
    ignore: tuple[Region, ...] = ()


class FrameLimits(Message):
    """The image-quality gate: what a frame must satisfy to be judged at all."""

    min_width: int = Field(default=56, ge=1)
    min_height: int = Field(default=56, ge=1)
    min_brightness: float = Field(default=8.0, ge=0.0, le=255.0)
    """Mean grey value below which a frame is dark."""
    min_sharpness: float = Field(default=2.0, ge=0.0)
    """Variance of the Laplacian below which a frame is blurred (Pech-Pacheco et al. 2000)."""


class Recipe(Message):
    """Everything a station needs to judge one kind of part."""

    recipe_id: Identifier
    version: int = Field(ge=1)
    station_id: Identifier
    part: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    classes: Annotated[tuple[DefectClass, ...], Field(min_length=2, max_length=64)]
    thresholds: Thresholds
    escalation: Escalation = Escalation()
    deadline_ms: int = Field(ge=1, le=600_000)
    retention: Retention = Retention()
    prompt: PromptTexts = PromptTexts()
    regions: Regions = Regions()
    frame_limits: FrameLimits = FrameLimits()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, carried by every result."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
