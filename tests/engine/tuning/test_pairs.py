"""Parts taught beside golden pictures: what differs counts, not what the part looks like."""

from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from engine.errors import ImageInvalid, TeachingInvalid
from engine.tuning import LabelledPicture, TaughtPart, TeachOptions, teach
from engine.tuning.pair import registered
from engine.tuning.pictures import Pixels
from tests.engine.tuning.parts import pictures

SIDE = 96


def board(seed: int, defect: str = "good") -> Pixels:
    """A board of its own with bright tracks; `gap` breaks one, `bridge` joins two."""
    rng = np.random.default_rng(seed)
    grey = np.full((SIDE, SIDE), 30, np.uint8)
    rows = [8 + 16 * index + int(rng.integers(0, 5)) for index in range(5)]
    for y in rows:
        cv2.rectangle(grey, (0, y), (SIDE, y + 5), 220, -1)
    x = int(rng.integers(20, SIDE - 20))
    if defect == "gap":
        cv2.rectangle(grey, (x, rows[2] - 1), (x + 7, rows[2] + 6), 30, -1)
    if defect == "bridge":
        cv2.rectangle(grey, (x, rows[2]), (x + 5, rows[3]), 220, -1)
    return np.repeat(grey[..., None], 3, axis=2)


def pairs(count: int, start: int = 0) -> list[LabelledPicture]:
    """So many boards of each kind, each beside its own golden one."""
    return [
        LabelledPicture(kind, None, partial(board, start + index, kind), partial(board, start + index))
        for kind in ("good", "gap", "bridge")
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def part() -> TaughtPart:
    """Six boards of each kind."""
    return teach(pairs(5), TeachOptions(orientations=False))


def test_what_differs_from_the_golden_picture_is_named(part: TaughtPart) -> None:
    """A gap and a bridge on boards that were never seen are told apart, and from good boards."""
    for kind in ("good", "gap", "bridge"):
        probabilities = part.judge(board(500, kind), board(500)).probabilities
        assert max(probabilities, key=probabilities.__getitem__) == kind


def test_the_map_is_of_the_difference(part: TaughtPart) -> None:
    """A good board is cold everywhere, a gap is hot where it is."""
    assert part.judge(board(501), board(501)).box is None
    box = part.judge(board(501, "gap"), board(501)).box
    y, x = np.argwhere((board(501, "gap") != board(501)).any(2)).mean(0)
    assert box is not None
    assert box[0] <= x <= box[0] + box[2]
    assert box[1] <= y <= box[1] + box[3]


def test_a_golden_picture_that_lies_elsewhere_is_moved_back() -> None:
    """Five pixels to the side and three down are found, and what is not covered does not count."""
    rng = np.random.default_rng(0)
    scene = np.asarray(cv2.resize(rng.integers(0, 255, (12, 12, 3)).astype(np.uint8), (SIDE, SIDE)), np.uint8)
    motion: Any = np.array([[1, 0, 5], [0, 1, 3]], np.float32)
    moved = np.asarray(cv2.warpAffine(scene, motion, (SIDE, SIDE)), np.uint8)
    back, covered = registered(scene, moved)
    inside = covered.copy()
    inside[:4], inside[-4:], inside[:, :6], inside[:, -6:] = False, False, False, False
    assert (
        np.abs(back.astype(int) - scene)[inside].mean()
        < 0.3 * np.abs(moved.astype(int) - scene)[inside].mean()
    )
    assert not covered.all()


def test_a_part_taught_in_pairs_is_judged_in_pairs(part: TaughtPart) -> None:
    """Without the golden picture there is nothing to compare."""
    with pytest.raises(ImageInvalid, match="no golden picture"):
        part.judge(board(502))


def test_golden_pictures_are_beside_all_or_none() -> None:
    """A mixture says how many have one."""
    with pytest.raises(TeachingInvalid, match="4 of 8 pictures have a golden picture"):
        teach([*pairs(4)[:4], *pictures({"good": 4})])
