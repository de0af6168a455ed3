"""Synthetic pictures: their truth is known, visible and repeatable."""

from collections import Counter

import numpy as np
import pytest

from starter.pictures.facts import SURFACE_CLASSES
from starter.pictures.samples import GOOD, Sample, box_around
from starter.surfaces.defects import DRAWERS
from starter.surfaces.drawing import ALL_DRAWERS, VISIBLE_GREY_LEVELS, apply_defect
from starter.surfaces.surfaces import FIRST_HELD_OUT_SEED, MISSING, SIZE, generate, held_out


@pytest.fixture(scope="module")
def pictures() -> list[Sample]:
    """Enough of them for every class to come up often."""
    return [generate(np.random.default_rng(seed)) for seed in range(400)]


def test_the_same_seed_makes_the_same_picture() -> None:
    """A training run can be repeated, and an odd picture looked at again."""
    first, second = generate(np.random.default_rng(11)), generate(np.random.default_rng(11))
    assert np.array_equal(first.pixels, second.pixels)
    assert (first.label, first.boxes) == (second.label, second.boxes)


def test_held_out_pictures_begin_where_training_seeds_end() -> None:
    """What measures the model is never among what it learnt from."""
    first = held_out(1)[0]
    assert np.array_equal(first.pixels, generate(np.random.default_rng(FIRST_HELD_OUT_SEED)).pixels)


def test_every_class_comes_up_and_a_third_is_good(pictures: list[Sample]) -> None:
    """No class is forgotten or drowned."""
    counts = Counter(sample.label for sample in pictures)
    assert set(counts) == set(SURFACE_CLASSES)
    assert 0.2 < counts[GOOD] / len(pictures) < 0.4
    assert min(counts.values()) > len(pictures) / 25


def test_a_good_picture_has_no_mask_and_a_bad_one_has_boxes_of_its_kind(pictures: list[Sample]) -> None:
    """Label, boxes and mask tell the same story."""
    for sample in pictures:
        assert sample.pixels.shape == (SIZE, SIZE, 3)
        assert sample.pixels.dtype == np.uint8
        assert sample.mask is not None
        assert sample.mask.any() == bool(sample.boxes) == (sample.label != GOOD)
        assert {box.kind for box in sample.boxes} <= {sample.label}
        assert len(sample.boxes) <= 3


def test_boxes_enclose_exactly_the_defective_pixels(pictures: list[Sample]) -> None:
    """The union of the boxes is the box around the mask."""
    for sample in pictures:
        if not sample.boxes or sample.mask is None:
            continue
        whole = box_around(sample.mask, sample.label)
        assert whole.x0 == min(box.x0 for box in sample.boxes)
        assert whole.y1 == max(box.y1 for box in sample.boxes)


def test_a_regular_pattern_does_not_give_the_missing_part_away() -> None:
    """Good parts have bolts and holes too: dark round spots in pictures of which nothing is missing."""
    good = [sample for sample in held_out(300) if sample.label == GOOD]
    with_holes = [sample for sample in good if (sample.pixels.max(axis=2) < 45).mean() > 0.01]
    assert with_holes
    assert any(sample.label == MISSING for sample in held_out(60))


@pytest.mark.parametrize("kind", sorted(ALL_DRAWERS))
@pytest.mark.parametrize("grey", [40, 128, 215])
def test_a_drawn_defect_can_be_seen_on_any_surface(kind: str, grey: int) -> None:
    """Dark, medium or bright: the covered pixels change enough for a person to notice."""
    rng = np.random.default_rng(5)
    before = np.full((SIZE, SIZE, 3), grey, np.uint8)
    after, mask, boxes = apply_defect(before, kind, rng)
    assert np.abs(after[mask].astype(float) - grey).mean() > VISIBLE_GREY_LEVELS / 2
    assert {box.kind for box in boxes} == {kind}


def test_a_grey_picture_stays_grey() -> None:
    """A coloured stain on a microscope picture would give it away."""
    before = np.full((96, 96, 3), 140, np.uint8)
    after, _, _ = apply_defect(before, "stain", np.random.default_rng(1))
    assert np.array_equal(after[..., 0], after[..., 2])


def test_a_defect_that_cannot_show_is_refused_with_the_mend() -> None:
    """A hole in a black picture would be a wrong label."""
    with pytest.raises(ValueError, match="lighter"):
        apply_defect(np.zeros((96, 96, 3), np.uint8), "pit", np.random.default_rng(1))


def test_every_drawn_kind_is_a_class_that_recipes_name() -> None:
    """The generator draws all classes but the good one; an absent part is left out of the drawing instead."""
    assert {*DRAWERS, MISSING, GOOD} == set(SURFACE_CLASSES)
