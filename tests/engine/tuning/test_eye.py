"""The pretrained eye: its weights are what their digest says, its network is the released one."""

import numpy as np
import pytest
import torch

from engine.errors import CheckpointInvalid
from engine.tuning.eye import open_eye
from engine.tuning.folds import make_folds
from engine.tuning.network import TAP_STRIDES, EfficientNetLite, Scaling, load_released
from engine.tuning.pictures import ORIENTATIONS, Regions, View, tile_views, whole_view


def test_weights_that_do_not_fit_are_listed() -> None:
    """A missing and a surplus tensor are both named."""
    with pytest.raises(CheckpointInvalid, match=r"_conv_stem\.weight.*left over \['stray'\]"):
        load_released(EfficientNetLite(Scaling(1.0, 1.0)), {"stray": torch.zeros(1)})


def test_every_tap_has_its_stride() -> None:
    """A picture of 384 x 256 gives maps of its size over the stride."""
    sight = open_eye().see(whole_view(np.zeros((200, 300, 3), np.uint8), Regions()))
    assert [tuple(each.shape[1:]) for each in sight.maps] == [(256 // s, 384 // s) for s in TAP_STRIDES]


def test_orientations_are_the_eight_of_a_square() -> None:
    """All differ, and each keeps the values."""
    square = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    view = View((0, 0, 3, 3), square, square[..., 0] > 3)
    turned = [view.turned(each) for each in range(ORIENTATIONS)]
    assert len({each.pixels.tobytes() for each in turned}) == ORIENTATIONS
    assert all(np.array_equal(each.pixels[..., 0] > 3, each.counts) for each in turned)


def test_tiles_cover_a_large_picture() -> None:
    """Every pixel that counts is in a tile, and a tile in which none counts is left out."""
    large = np.zeros((1_500, 4_000, 3), np.uint8)
    covered = np.zeros(large.shape[:2], bool)
    for view in tile_views(large, Regions()):
        x, y, width, height = view.box
        covered[y : y + height, x : x + width] = True
    assert covered.all()
    left = tile_views(large, Regions(inspect=(0.0, 0.0, 0.2, 1.0)))
    assert 0 < len(left) < len(tile_views(large, Regions()))


def test_a_group_is_in_one_fold() -> None:
    """Pictures of one part are never on both sides, and every fold holds both classes."""
    labels = ["good", "bad"] * 12
    groups = [f"part {index // 4}" for index in range(24)]
    folds = make_folds(labels, groups, seed=0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(24))
    where = {index: number for number, fold in enumerate(folds) for index in fold.tolist()}
    assert all(len({where[index] for index in range(start, start + 4)}) == 1 for start in range(0, 24, 4))
    assert all({labels[index] for index in fold} == {"good", "bad"} for fold in folds)
