"""What is learned about the learning itself: the curve, the advice, and which pictures cannot be judged."""

import cv2
import numpy as np
import pytest

from engine.tuning import TaughtPart, TeachOptions, teach
from engine.tuning.curve import CurvePoint, advise, learning_curve
from engine.tuning.gate import GateBuilder
from engine.tuning.pictures import Pixels, Regions
from tests.engine.tuning.parts import pictures, plate


def test_the_curve_rises_to_what_all_pictures_gave() -> None:
    """Fewer pictures of two overlapping clouds are judged no better, and the last point is the one given."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(2), 40)
    features = rng.normal(size=(80, 60)) + 0.35 * labels[:, None]
    folds = [np.arange(start, 80, 4) for start in range(4)]
    full = CurvePoint(40, 0.95)
    curve = learning_curve(features, labels, 2, folds, full, seed=0)
    assert [point.pictures for point in curve] == [10, 20, 40]
    assert curve[0].accuracy <= curve[-1].accuracy
    assert curve[-1] == full


def test_more_of_the_mistaken_class_is_advised_first() -> None:
    """A class that is always right needs no pictures; of two that are mistaken, the worse comes first."""
    labels = np.repeat(np.arange(3), 10)
    said = labels.copy()
    said[10:14], said[20] = 0, 0
    advice = advise([CurvePoint(5, 0.6), CurvePoint(10, 0.83)], said, labels, ("good", "crack", "dent"))
    assert [each.label for each in advice] == ["crack", "dent"]
    assert 0 < advice[1].gain < advice[0].gain < 0.4 / 3


def _fixture(seed: int, across: int = 0) -> Pixels:
    """A part that always lies in the same place, or so many pixels beside it."""
    rng = np.random.default_rng(seed)
    grey = rng.normal(90, 6, (128, 128)).astype(np.float32)
    cv2.circle(grey, (64 + across, 60), 30, 200.0, -1)
    cv2.rectangle(grey, (30 + across, 90), (90 + across, 110), 20.0, -1)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (_fixture(100), None),
        (_fixture(100, across=3), None),
        (_fixture(100, across=24), "shifted"),
        (_fixture(100) // 8, "dark"),
        (np.asarray(cv2.GaussianBlur(_fixture(100), (0, 0), 6), np.uint8), "blurred"),
        (np.clip(_fixture(100).astype(int) * 3, 0, 255).astype(np.uint8), "bright"),
    ],
)
def test_a_picture_that_cannot_be_judged_says_why(picture: Pixels, reason: str | None) -> None:
    """The gate of a part that lies still; the first reason found is the one given."""
    builder = GateBuilder()
    for seed in range(12):
        builder.add(_fixture(seed), Regions().mask(128, 128))
    gate = builder.gate(np.full(12, 0.01))
    found = gate.reason(picture, Regions().mask(128, 128), 0.01)
    assert found == reason


def test_another_part_is_not_judged() -> None:
    """A picture of something else altogether is refused, one of the same kind is not."""
    part: TaughtPart = teach(pictures({"good": 8}), TeachOptions())
    other = np.random.default_rng(0).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    assert part.judge(other).not_judged is not None
    assert part.judge(plate(900)).not_judged is None


@pytest.mark.slow
def test_a_defect_of_ten_pixels_in_a_large_picture_is_found() -> None:
    """Tiles see what the whole picture, shrunk eight times, does not; the box holds it."""
    part = teach(pictures({"good": 4}, side=3_000), TeachOptions())
    spotted = plate(900, side=3_000)
    spotted[1_500:1_510, 2_200:2_210] = 255
    opinion = part.judge(spotted)
    assert opinion.box is not None
    left, top, width, height = opinion.box
    assert left - 8 <= 2_205 <= left + width + 8
    assert top - 8 <= 1_505 <= top + height + 8
    assert opinion.anomaly > part.judge(plate(900, side=3_000)).anomaly
