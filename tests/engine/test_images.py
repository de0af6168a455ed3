"""From pixels to patches, compared with the image processor of transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import ImageInvalid
from engine.model.images import ImageProcessor
from tests.engine.reference import reference_patches
from tests.engine.tiny import random_pixels

SIDES = st.integers(min_value=8, max_value=400)


@settings(max_examples=40)
@given(SIDES, SIDES, st.integers(0, 9))
def test_patches_are_those_of_transformers(height: int, width: int, seed: int) -> None:
    """Same grid and same values, whatever the size."""
    pixels = random_pixels(np.random.default_rng(seed), height, width)
    patches, grid = ImageProcessor().patches(pixels)
    expected, grids = reference_patches([pixels])
    assert [grid] == grids
    torch.testing.assert_close(patches, expected, rtol=0, atol=1e-5)


@settings(max_examples=20)
@given(st.integers(8, 300), st.integers(8, 300))
def test_an_area_over_the_limit_shrinks_as_in_transformers(height: int, width: int) -> None:
    """The checkpoint's own limits are kept, with the aspect."""
    pixels = random_pixels(np.random.default_rng(1), height, width)
    patches, grid = ImageProcessor(max_area=112 * 112).patches(pixels)
    expected, grids = reference_patches([pixels], largest_area=112 * 112)
    assert [grid] == grids
    torch.testing.assert_close(patches, expected, rtol=0, atol=1e-5)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_resized_sides_are_whole_merge_blocks_within_the_limits(height: int, width: int) -> None:
    """Or the image is refused as too long."""
    processor = ImageProcessor()
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ImageInvalid, match="200 times"):
            processor.size(height, width)
        return
    new_height, new_width = processor.size(height, width)
    assert new_height % 28 == 0
    assert new_width % 28 == 0
    assert new_height * new_width <= max(processor.max_area, 28 * max(new_height, new_width))
    assert new_height * new_width >= processor.min_area


def test_the_largest_image_takes_6177_tokens_at_most() -> None:
    """The limit of the released models, in tokens."""
    processor = ImageProcessor()
    height, width = processor.size(5000, 5000)
    assert processor.tokens((1, height // 14, width // 14)) <= 6177


def test_settings_come_from_the_checkpoint(tmp_path: Path) -> None:
    """Limits, mean and deviation of preprocessor_config.json are used, in either spelling."""
    released = {
        "min_pixels": 3136,
        "max_pixels": 28 * 28 * 9,
        "image_mean": [0.5] * 3,
        "image_std": [0.25] * 3,
    }
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(released), encoding="utf-8")
    assert ImageProcessor.from_checkpoint(tmp_path) == ImageProcessor(
        max_area=28 * 28 * 9, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    path.write_text(json.dumps({"size": {"shortest_edge": 784, "longest_edge": 7840}}), encoding="utf-8")
    assert ImageProcessor.from_checkpoint(tmp_path) == ImageProcessor(min_area=784, max_area=7840)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((2, 56, 56, 3), np.uint8), "video"),
        (np.zeros((56, 56), np.uint8), r"\[56, 56\]"),
        (np.zeros((56, 56, 4), np.uint8), r"\[56, 56, 4\]"),
        (np.zeros((0, 56, 3), np.uint8), r"\[0, 56, 3\]"),
        (np.zeros((56, 56, 3), np.float32), "uint8"),
    ],
)
def test_what_is_no_still_rgb_image_is_refused(pixels: np.ndarray, said: str) -> None:
    """The error says what came and what is wanted."""
    with pytest.raises(ImageInvalid, match=said):
        ImageProcessor().patches(pixels)
