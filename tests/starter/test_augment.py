"""Changes to a picture carry its truth along."""

from dataclasses import replace

import numpy as np
import pytest

from starter.pictures.facts import METAL_CLASSES, METAL_PART
from starter.pictures.samples import Box, Sample, box_around
from starter.surfaces.augment import augment, damaged_copy, relight, tilt, turn, zoom
from starter.surfaces.surfaces import generate


@pytest.fixture
def marked() -> Sample:
    """A grey picture with one white rectangle, which is its defect."""
    pixels = np.full((168, 168, 3), 90, np.uint8)
    mask = np.zeros((168, 168), bool)
    mask[20:40, 100:150] = True
    pixels[mask] = 220
    return Sample(
        pixels, METAL_PART, METAL_CLASSES, "damaged", (box_around(mask, "x"),), mask, "made", pixels
    )


def white_box(sample: Sample) -> Box:
    """Where the white rectangle is now."""
    return box_around(sample.pixels[..., 0] > 155, "x")


def close(first: Box, second: Box) -> bool:
    """Within two pixels."""
    pairs = zip(
        (first.x0, first.y0, first.x1, first.y1), (second.x0, second.y0, second.x1, second.y1), strict=True
    )
    return all(abs(a - b) < 2 / 168 for a, b in pairs)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_and_mask_turn_with_the_picture(marked: Sample, quarters: int, mirrored: bool) -> None:
    """In all eight positions the box is where the rectangle is."""
    turned = turn(marked, quarters, mirrored)
    assert close(turned.boxes[0], white_box(turned))
    assert turned.mask is not None
    assert np.array_equal(turned.mask, turned.pixels[..., 0] > 155)


def test_a_crop_keeps_every_known_defect_whole(marked: Sample) -> None:
    """However far it zooms in, the box is inside and where the rectangle is."""
    for seed in range(50):
        zoomed = zoom(marked, np.random.default_rng(seed), least=0.4)
        box = zoomed.boxes[0]
        assert min(box.x0, box.y0) > -1e-6
        assert max(box.x1, box.y1) < 1 + 1e-6
        assert close(box, white_box(zoomed))


def test_the_golden_picture_follows_the_tested_one(marked: Sample) -> None:
    """Both are cut and turned alike, so that they can still be compared."""
    changed = zoom(turn(marked, 1, mirrored=True), np.random.default_rng(3))
    assert changed.golden is not None
    assert np.array_equal(changed.golden, changed.pixels)


def test_another_light_leaves_the_brighter_spot_brighter(marked: Sample) -> None:
    """Exposure, contrast and gamma never turn a picture into its negative or blot its defect out."""
    for seed in range(50):
        pixels = relight(marked.pixels, np.random.default_rng(seed), 1.0).astype(float)
        assert marked.mask is not None
        assert pixels[marked.mask].mean() > pixels[~marked.mask].mean() + 20


def test_augmenting_keeps_shape_label_and_truth() -> None:
    """On real generator output, boxes still enclose the mask."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sample = augment(generate(rng), rng)
        assert sample.pixels.shape == (168, 168, 3)
        assert sample.pixels.dtype == np.uint8
        if sample.boxes and sample.mask is not None:
            around = box_around(sample.mask, "x")
            assert abs(around.x0 - min(box.x0 for box in sample.boxes)) < 0.02


def test_a_damaged_copy_is_damaged_where_its_mask_says(marked: Sample) -> None:
    """Pixels outside the surroundings of the mask are those of the good picture."""
    good = replace(marked, label="good", boxes=(), mask=None, golden=None)
    for seed in range(20):
        damaged = damaged_copy(good, np.random.default_rng(seed))
        assert damaged.label == "damaged"
        assert damaged.boxes
        assert damaged.mask is not None
        changed = np.abs(damaged.pixels.astype(int) - good.pixels).max(axis=2)
        assert changed[damaged.mask].mean() > changed[~damaged.mask].mean() + 8


def test_tilting_keeps_the_size(marked: Sample) -> None:
    """A free rotation fills its corners from inside the picture."""
    tilted = tilt(replace(marked, boxes=(), mask=None), np.random.default_rng(0))
    assert tilted.pixels.shape == marked.pixels.shape
    assert tilted.pixels.min() > 60
