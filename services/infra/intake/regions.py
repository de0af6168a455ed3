"""The part of a frame that is looked at: ignored rectangles greyed out, the inspected rectangle cut out."""

import math

import numpy as np
from numpy.typing import NDArray

from schemas.recipe import Region, Regions

GREY = 128
"""Mid-grey: after normalisation close to zero, so that a greyed rectangle draws no attention."""


def apply_regions(pixels: NDArray[np.uint8], regions: Regions) -> NDArray[np.uint8]:
    """The inspected rectangle of an RGB frame [H, W, 3], with the ignored rectangles grey.

    All rectangles are fractions of the whole frame; one that reaches over the edge ends at the edge.
    The input is left as it is; without regions it is returned unchanged.
    """
    height, width = pixels.shape[:2]
    if regions.ignore:
        pixels = pixels.copy()
        for region in regions.ignore:
            pixels[_window(region, height, width)] = GREY
    if regions.inspect is not None:
        pixels = np.ascontiguousarray(pixels[_window(regions.inspect, height, width)])
    return pixels


def _window(region: Region, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a region, rounded outwards, at least one pixel and never outside the frame."""
    top = min(math.floor(region.y * height), height - 1)
    left = min(math.floor(region.x * width), width - 1)
    bottom = min(max(math.ceil((region.y + region.height) * height), top + 1), height)
    right = min(max(math.ceil((region.x + region.width) * width), left + 1), width)
    return slice(top, bottom), slice(left, right)


def looked_at(regions: Regions, height: int, width: int) -> tuple[int, int, int, int]:
    """The inspected rectangle of a frame of this size: x, y, width, height in pixels."""
    if regions.inspect is None:
        return 0, 0, width, height
    rows, columns = _window(regions.inspect, height, width)
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
