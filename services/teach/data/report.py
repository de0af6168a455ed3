"""The outcome of `lynceus data check`, as printed, written as JSON and drawn as a page."""

from collections import Counter
from typing import Literal

from pydantic import Field

from schemas.base import Message


class FindingRecord(Message):
    """One thing about the folder that a person should know."""

    level: Literal["error", "warning", "note"]
    code: str
    """The kind of finding as one word that a program can compare."""
    file: str | None = None
    """Relative to the folder."""
    line: int | None = Field(default=None, ge=1)
    detail: str
    hint: str


class ClassCount(Message):
    """How many readable pictures a class has, in all and in each split."""

    label: str
    good: bool
    pictures: int
    splits: dict[str, int]


class SizeCount(Message):
    """How many pictures are of this size."""

    width: int
    height: int
    pictures: int


class Groups(Message):
    """By what pictures are kept together, and how many groups that gives."""

    by: str
    count: int


class Copies(Message):
    """Pictures that show what another one shows."""

    exact_sets: int
    exact_pictures: int
    """Files that are the same as an earlier one, byte for byte."""
    near_sets: int
    near_pictures: int
    """Pictures that show the same as an earlier one, stored anew, turned or mirrored."""
    across_splits: int
    """Pictures of test or valid that are a copy of a training one."""


class CheckReport(Message):
    """Everything that the check found out."""

    folder: str
    layout: str
    pictures: int
    """Labelled pictures."""
    readable: int
    bytes: int
    classes: tuple[ClassCount, ...]
    sizes: tuple[SizeCount, ...]
    """The most frequent first."""
    groups: Groups
    copies: Copies
    findings: tuple[FindingRecord, ...]
    """Errors first, then warnings, then notes."""

    def kinds(self) -> list[tuple[str, str, int]]:
        """Level, code and count of each kind of finding, errors first."""
        counted = Counter((each.level, each.code) for each in self.findings)
        return [(level, code, count) for (level, code), count in counted.items()]

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(each.level == "error" for each in self.findings)
