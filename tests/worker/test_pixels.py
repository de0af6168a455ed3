"""What the model sees of a frame."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.recipe import Region, Regions
from services.infra.intake.regions import GREY, apply_regions

Pixels = NDArray[np.uint8]


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Any rectangle that a recipe may name."""
    x, y = draw(st.floats(0.0, 0.999)), draw(st.floats(0.0, 0.999))
    width, height = draw(st.floats(1e-6, 1.0 - x)), draw(st.floats(1e-6, 1.0 - y))
    return Region(x=x, y=y, width=width, height=height)


def gradient(height: int = 40, width: int = 60) -> Pixels:
    """A frame whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, np.full_like(rows, 7)], axis=-1).astype(np.uint8)


def test_without_regions_the_frame_is_whole() -> None:
    """No region in the recipe means the whole frame, not a copy of it."""
    frame = gradient()
    assert apply_regions(frame, Regions()) is frame


def test_the_inspected_rectangle_is_cut_out() -> None:
    """Fractions of the frame become exactly the rows and columns they name."""
    seen = apply_regions(gradient(), Regions(inspect=Region(x=0.5, y=0.25, width=0.25, height=0.5)))
    assert seen.shape == (20, 15, 3)
    assert tuple(seen[0, 0]) == (10, 30, 7)
    assert tuple(seen[-1, -1]) == (29, 44, 7)


def test_an_ignored_rectangle_is_grey_and_the_rest_untouched() -> None:
    """A printed serial number cannot be read through the mask, and the caller's frame keeps it."""
    frame = gradient()
    seen = apply_regions(frame, Regions(ignore=(Region(x=0.0, y=0.0, width=0.5, height=0.5),)))
    assert (seen[:20, :30] == GREY).all()
    assert (seen[20:] == frame[20:]).all()
    assert (seen[:, 30:] == frame[:, 30:]).all()
    assert tuple(frame[5, 5]) == (5, 5, 7)


def test_ignored_rectangles_are_fractions_of_the_whole_frame() -> None:
    """The mask stays on its place of the part when an inspected rectangle is added later."""
    mask = Region(x=0.5, y=0.5, width=0.1, height=0.1)
    crop = Region(x=0.5, y=0.5, width=0.5, height=0.5)
    seen = apply_regions(gradient(), Regions(inspect=crop, ignore=(mask,)))
    assert (seen[:4, :6] == GREY).all()
    assert tuple(seen[10, 10]) == (30, 40, 7)


@given(regions(), st.lists(regions(), max_size=3), st.integers(1, 50), st.integers(1, 50))
def test_every_legal_region_leaves_pixels(
    inspect: Region, ignore: list[Region], height: int, width: int
) -> None:
    """However thin the rectangle or small the frame, the model gets a contiguous image with a pixel."""
    seen = apply_regions(gradient(height, width), Regions(inspect=inspect, ignore=tuple(ignore)))
    assert 1 <= seen.shape[0] <= height
    assert 1 <= seen.shape[1] <= width
    assert seen.dtype == np.uint8
    assert seen.flags["C_CONTIGUOUS"]
