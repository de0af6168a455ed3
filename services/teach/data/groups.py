"""Which pictures belong together: one part, lot, day or camera must not stand on both sides of a split."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.teach.data.pictures import Dataset, Picture
from services.teach.errors import TeachingError

PARTS = (
    ("part", re.compile(r"(?<![a-z])(?:part|serial|sn|id)[-_ ]?(\d[a-z0-9]*)", re.IGNORECASE)),
    ("lot", re.compile(r"(?<![a-z])(?:lot|batch|charge)[-_ ]?(\d[a-z0-9]*)", re.IGNORECASE)),
)
"""Words in a file name after which a part or a lot is numbered."""

CAMERA = re.compile(r"(?<![a-z])(?:cam(?:era)?|station)[-_ ]?(\d[a-z0-9]*)", re.IGNORECASE)
MOMENT = re.compile(r"(?<!\d)((?:20)?\d{6})[-_T ]?(\d{6})(?!\d)")
"""A date and a time of day: 20261124_101500, or without the century."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """By what the pictures were grouped, and how many groups there are."""

    by: str
    groups: int


def with_groups(dataset: Dataset, pattern: str | None = None) -> Dataset:
    """The dataset with a group for each picture that has none yet and whose name tells one.

    Raises TeachingError for a pattern that is no regular expression or matches no name.
    """
    if pattern is not None:
        return replace(dataset, pictures=_by_pattern(dataset.pictures, pattern))
    return replace(dataset, pictures=tuple(_by_name(each) for each in dataset.pictures))


def grouping(pictures: Sequence[Picture]) -> Grouping:
    """What the groups are, in a word; pictures without a group stand each alone."""
    found = {each.group for each in pictures if each.group is not None}
    kinds = sorted({group.split(" ", 1)[0] for group in found})
    return Grouping(" and ".join(kinds) or "nothing", len(found))


def is_one_part(group: str) -> bool:
    """Whether the pictures of a group count as one part; those of a lot, day or camera are many."""
    return group.split(" ", 1)[0] not in {"lot", "day", "camera"}


def _by_pattern(pictures: Sequence[Picture], pattern: str) -> tuple[Picture, ...]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        hint = "write a regular expression such as (?P<part>\\d+)_"
        raise TeachingError.of("--group", pattern, f"is no regular expression: {error}", hint) from error
    found = [wanted.search(each.path.name) for each in pictures]
    if not any(found):
        raise TeachingError.of(
            "--group", pattern, "matches no file name", f"the first file is {pictures[0].path.name!r}"
        )
    return tuple(
        each if match is None else replace(each, group=_matched(match))
        for each, match in zip(pictures, found, strict=True)
    )


def _matched(match: re.Match[str]) -> str:
    """`lot 12` from a group named lot; `group 12` from one without a name."""
    named = [f"{name} {value}" for name, value in match.groupdict().items() if value is not None]
    plain = " ".join(filter(None, match.groups())) or match.group()
    return " ".join(named) or f"group {plain}"


def _by_name(picture: Picture) -> Picture:
    if picture.group is not None:
        return picture
    for word, expression in PARTS:
        if match := expression.search(picture.path.stem):
            return replace(picture, group=f"{word} {match.group(1)}")
    day = day_in(picture.path.stem)
    return picture if day is None else replace(picture, group=f"day {day}")


def day_in(name: str) -> str | None:
    """The day that a file name gives as a date and a time: `01_200828110014_x` is 2020-08-28."""
    match = MOMENT.search(name)
    if match is None:
        return None
    digits = match.group(1) if len(match.group(1)) == 8 else "20" + match.group(1)
    try:
        return datetime.strptime(digits + match.group(2), "%Y%m%d%H%M%S").date().isoformat()  # noqa: DTZ007 - a day
    except ValueError:
        return None


def camera_in(name: str) -> str | None:
    """The camera that a file name gives: `cam2_0001` is 2."""
    match = CAMERA.search(name)
    return match.group(1) if match else None
