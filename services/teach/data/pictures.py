"""What every layout is read into: labelled pictures, and findings about what is wrong."""

import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

GOOD = "good"
"""The label of a picture without a defect, where a layout has no word of its own for it."""

GOOD_WORDS = frozenset(
    {"good", "ok", "okay", "normal", "pass", "passed", "accept", "accepted", "fine", "io", "gut"}
    | {"clean", "whole", "intact", "perfect", "nodefect", "defectfree", "withoutdefect", "nondefective"}
)
"""Labels that mean a good part, written small and without anything but letters."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
}
"""Names of folders and CSV values that say which split a picture belongs to."""


class Level(StrEnum):
    """How bad a finding is: an error leaves the picture out, a warning bends the figures, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about the folder that a person should know, with the place and the way out."""

    level: Level
    code: str
    detail: str
    hint: str
    file: Path | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle in pixels of the upright picture: left, top, right, bottom."""

    label: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as its folder describes it."""

    path: Path
    label: str
    split: str | None = None
    """train, valid or test where the folder says so."""
    group: str | None = None
    """What must not be torn apart by a split: the part, the lot, the day, the camera."""
    golden: Path | None = None
    """The aligned picture of a part without defects, where there is one."""
    mask: Path | None = None
    """A picture whose bright pixels are the defect."""
    boxes: tuple[Box, ...] = ()
    place: tuple[Path, int | None] | None = None
    """The file and line that gave the label, where it was not the folder."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder as read: which layout it has, its pictures in order, and what is wrong with its labels."""

    root: Path
    layout: str
    pictures: tuple[Picture, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, the good one first, the others in order."""
        return tuple(
            sorted({each.label for each in self.pictures}, key=lambda label: (not is_good(label), label))
        )


def is_good(label: str) -> bool:
    """Whether a label means a part without defect: `good`, `OK`, `no_defect`."""
    return re.sub(r"[^a-z]", "", label.lower()) in GOOD_WORDS


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture we read."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def split_of(name: str) -> str | None:
    """The split that a folder or a CSV value names, None for any other word."""
    return SPLITS.get(name.strip().lower())


def same_name(name: str) -> str:
    """A file name as it is compared: label files and disks disagree on composed letters."""
    return unicodedata.normalize("NFC", name)


def main_label(boxes: tuple[Box, ...]) -> str:
    """The label of a picture with boxes: that of the largest area, good without any."""
    areas: dict[str, float] = {}
    for box in boxes:
        areas[box.label] = areas.get(box.label, 0.0) + box.area
    return max(sorted(areas), key=lambda label: areas[label]) if areas else GOOD
