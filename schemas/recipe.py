"""A recipe: what a station looks for, how sure it must be, and what happens with the result."""

import hashlib
from pathlib import PurePosixPath
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.base import Digest, Identifier, Message
from schemas.evidence import Evidence, Standing, Taught, standing_of
from schemas.report import Severity
from schemas.verdict import Decision

PLACEHOLDERS = frozenset({"part", "classes"})
"""What a prompt text may hold in braces."""


def _known_placeholders(text: str) -> str:
    found = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    if unknown := sorted(found - PLACEHOLDERS):
        raise ValueError(f"unknown placeholder {{{unknown[0]}}}; a prompt may hold {{part}} and {{classes}}")
    return text


PromptText = Annotated[
    str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_known_placeholders)
]
"""Words for the model with `{part}` and `{classes}` to be filled in; other braces are doubled."""

Wording = Annotated[
    str, StringConstraints(min_length=1, max_length=80, pattern=r"^[^\s,](?:[^,\r\n]*[^\s,])?$")
]
"""A class as the model says it: no comma, because the prompt lists the classes between commas."""


GOLDEN_IMAGES = 4
"""Most golden images of a recipe: each costs the model as much as the frame the first time it is seen."""


def _below_the_recipe(file: str) -> str:
    if not file.isprintable():
        raise ValueError("write a file name without control characters")
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\\" in file:
        raise ValueError("write a path below the recipe's own folder, with forward slashes and without `..`")
    return file


GoldenFile = Annotated[
    str, StringConstraints(min_length=1, max_length=240), AfterValidator(_below_the_recipe)
]
"""An image file relative to the recipe's folder."""


class GoldenImage(Message):
    """A picture of a good part that the model sees before the frame; in a recipe its file name is enough."""

    file: GoldenFile
    digest: Digest | None = None
    """SHA-256 of the file's bytes; filled in when the recipe is read."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_file_name(cls, value: object) -> object:
        return {"file": value} if isinstance(value, str) else value


class DefectClass(Message):
    """One thing a part can be: its name in results, and its wording in the prompt and in the answer."""

    name: Identifier
    wording: Wording
    severity: Severity
    acceptable: bool = False
    """Whether a part of this class may pass; the others make up the defect probability."""


class Thresholds(Message):
    """T1 and T2 on the defect probability: below T1 ACCEPT, from T2 on REJECT, REVIEW in between."""

    accept_below: float = Field(gt=0.0, lt=1.0)
    reject_from: float = Field(gt=0.0, le=1.0)
    temperature: float = Field(default=1.0, gt=0.0, le=10.0)
    """Divides the log-probabilities before the softmax (temperature scaling, Guo et al. 2017)."""

    @field_validator("reject_from")
    @classmethod
    def _not_below_accept(cls, reject_from: float, info: ValidationInfo) -> float:
        accept_below = info.data.get("accept_below")
        if accept_below is not None and reject_from < accept_below:
            raise ValueError(f"reject_from {reject_from:g} lies below accept_below {accept_below:g}")
        return reject_from


class Escalation(Message):
    """Which verdicts get a written report."""

    decisions: tuple[Decision, ...] = (Decision.REVIEW, Decision.REJECT)

    @field_validator("decisions")
    @classmethod
    def _only_what_was_inspected(cls, decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
        if Decision.NOT_INSPECTED in decisions:
            raise ValueError("a part that was NOT_INSPECTED has nothing to diagnose")
        return decisions


class Retention(Message):
    """What becomes of the pixels once the result is stored."""

    accepted: Literal["drop", "archive"] = "drop"
    others: Literal["drop", "archive"] = "archive"
    days: int = Field(default=30, ge=1, le=3650)
    audit_share: float = Field(default=0.02, ge=0.0, le=1.0)
    """Share of the accepted parts whose picture is archived and shown to a person, who may find an escape."""

    def audits(self, result_id: str) -> bool:
        """Whether an accepted part is in the sample: drawn by its id, so asking again changes nothing."""
        drawn = int.from_bytes(hashlib.sha256(result_id.encode()).digest()[:8]) / 2**64
        return drawn < self.audit_share


class PromptTexts(Message):
    """The words around the image; `{part}` and `{classes}` are filled in from the recipe."""

    inspect: PromptText = "Inspect the {part}. Answer with one of: {classes}."
    diagnose: PromptText = "Diagnose the {part}. Defects looked for: {classes}. Write the report."


class Region(Message):
    """A rectangle in fractions of width and height, origin at the top left."""

    x: float = Field(ge=0.0, lt=1.0)
    y: float = Field(ge=0.0, lt=1.0)
    width: float = Field(gt=0.0, le=1.0)
    height: float = Field(gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _inside_the_frame(self) -> Self:
        if self.x + self.width > 1.0 or self.y + self.height > 1.0:
            raise ValueError("the region reaches beyond the frame: x + width and y + height are at most 1")
        return self


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
    """What the part is, in the words of the prompt: `machined surface`."""
    classes: Annotated[tuple[DefectClass, ...], Field(min_length=2, max_length=64)]
    thresholds: Thresholds
    escalation: Escalation = Escalation()
    deadline_ms: int = Field(ge=1, le=600_000)
    """From the job's creation to the last moment at which a verdict is of use; at most the takt."""
    retention: Retention = Retention()
    prompt: PromptTexts = PromptTexts()
    golden: Annotated[tuple[GoldenImage, ...], Field(max_length=GOLDEN_IMAGES)] = ()
    """Pictures of good parts, as the camera takes them: the regions are applied to them as to the frame."""
    regions: Regions = Regions()
    max_pixels: int = Field(default=450_000, ge=56 * 56, le=16_000_000)
    """What the model sees of a frame, once the regions are cut out; each 784 pixels cost a token."""
    frame_limits: FrameLimits = FrameLimits()
    taught: Taught | None = None
    """What `lynceus train` made for this part; without it the language model judges alone."""
    evidence: Evidence | None = None
    """The error rates measured by `lynceus train` or `lynceus calibrate`."""

    @field_validator("classes")
    @classmethod
    def _tell_good_from_bad(cls, classes: tuple[DefectClass, ...]) -> tuple[DefectClass, ...]:
        for label in ("name", "wording"):
            labels = [getattr(each, label) for each in classes]
            if twice := sorted({each for each in labels if labels.count(each) > 1}):
                raise ValueError(f"the {label} {twice[0]!r} stands twice")
        if {each.acceptable for each in classes} != {True, False}:
            raise ValueError("there must be an acceptable class and one that is not")
        return classes

    @property
    def standing(self) -> Standing:
        """How far the verdicts may be trusted, from the evidence; without any the recipe is untaught."""
        limits = self.thresholds
        return standing_of(self.evidence, self.taught, limits.accept_below, limits.reject_from)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, golden images' digests included; carried by every result."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
