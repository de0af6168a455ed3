"""Labelled pictures as they come, and how one is laid out for the eye: resized, masked, cut into tiles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import ImageInvalid

Pixels = NDArray[np.uint8]
"""RGB [H, W, 3]."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture."""

LONG_SIDE = 384
"""Pixels of the longer side as the eye sees a whole picture, and of the side of a tile."""
SHORTEST_SIDE = 128
GRID = 32
"""The eye's largest stride; sides are multiples of it."""
TILED_ABOVE = 1_152
"""Pictures with a longer side than this are looked at in tiles as well."""
TILE_SOURCE = 768
"""Pixels of the picture under a tile: halved, so that ten stay five, over half a place of stride 8."""
TILE_OVERLAP = 96
SMALLEST_PICTURE = 16
ORIENTATIONS = 8
"""Quarter turns of a picture and of its mirror image."""


@dataclass(frozen=True)
class LabelledPicture:
    """One picture of a part and what a person says it shows.

    `group` names what must not be split between folds (the part, the lot, the camera); None is a group by
    itself. `pixels` reads it as RGB [H, W, 3]; `golden` reads a defect-free picture aligned with it, if
    there is one; `words` is the language model's log-probability of each class, if it was asked.
    """

    label: str
    group: str | None
    pixels: Callable[[], Pixels]
    golden: Callable[[], Pixels] | None = None
    words: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Regions:
    """What of a picture counts, as (x, y, width, height) in shares of its width and height: 0 to 1."""

    inspect: tuple[float, float, float, float] | None = None
    ignore: tuple[tuple[float, float, float, float], ...] = ()

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """[height, width], true where a pixel counts."""
        counts = np.ones((height, width), bool)
        if self.inspect is not None:
            counts[:] = False
            counts[_slices(self.inspect, height, width)] = True
        for region in self.ignore:
            counts[_slices(region, height, width)] = False
        return counts

    @property
    def whole(self) -> bool:
        """Whether every pixel counts."""
        return self.inspect is None and not self.ignore


def _slices(region: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    x, y, across, down = region
    return (
        slice(round(y * height), round((y + down) * height)),
        slice(round(x * width), round((x + across) * width)),
    )


@dataclass(frozen=True)
class View:
    """A rectangle of a picture for the eye: pixels [h, w, 3], counts [h, w], sides multiples of 32."""

    box: Box
    pixels: Pixels
    counts: NDArray[np.bool_]

    def turned(self, orientation: int) -> "View":
        """Turned by quarter turns (orientation modulo four) and mirrored from orientation four on."""
        pixels, counts = np.rot90(self.pixels, orientation % 4), np.rot90(self.counts, orientation % 4)
        if orientation >= ORIENTATIONS // 2:
            pixels, counts = pixels[:, ::-1], counts[:, ::-1]
        return View(self.box, np.ascontiguousarray(pixels), np.ascontiguousarray(counts))


def checked(rgb: Pixels) -> Pixels:
    """The picture itself, or ImageInvalid where it is not uint8 RGB of at least 16 pixels a side."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or min(rgb.shape[:2]) < SMALLEST_PICTURE:
        raise ImageInvalid(
            f"the picture is {rgb.dtype} {rgb.shape}",
            hint=f"uint8 RGB [height, width, 3], at least {SMALLEST_PICTURE} pixels a side",
        )
    return rgb


def whole_view(rgb: Pixels, regions: Regions) -> View:
    """The whole picture with its longer side at 384 pixels; what does not count is painted over."""
    height, width = rgb.shape[:2]
    return view_of(rgb, regions.mask(height, width), (0, 0, width, height))


def tile_views(rgb: Pixels, regions: Regions) -> list[View]:
    """Overlapping tiles of a large picture at half its size, those left out in which nothing counts."""
    height, width = rgb.shape[:2]
    if max(height, width) <= TILED_ABOVE:
        return []
    mask = regions.mask(height, width)
    boxes = [
        (x, y, min(TILE_SOURCE, width), min(TILE_SOURCE, height))
        for y in _starts(height)
        for x in _starts(width)
    ]
    return [
        view_of(rgb, mask, box)
        for box in boxes
        if mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]].any()
    ]


def _starts(length: int) -> list[int]:
    if length <= TILE_SOURCE:
        return [0]
    count = -(-(length - TILE_OVERLAP) // (TILE_SOURCE - TILE_OVERLAP))
    return [round(index * (length - TILE_SOURCE) / (count - 1)) for index in range(count)]


def view_of(rgb: Pixels, mask: NDArray[np.bool_], box: Box) -> View:
    """A rectangle of a picture whose pixels count where `mask` [H, W] is true."""
    x, y, width, height = box
    part, counts = rgb[y : y + height, x : x + width], mask[y : y + height, x : x + width]
    if not counts.all():
        part = part.copy()
        part[~counts] = part[counts].mean(0).astype(np.uint8) if counts.any() else 127
    size = eye_size(height, width)
    return View(box, resized(part, size), cv2.resize(counts.astype(np.uint8), size[::-1]).astype(bool))


def eye_size(height: int, width: int) -> tuple[int, int]:
    """Height and width for the eye: the longer one 384, the shape kept to a multiple of 32."""
    scale = LONG_SIDE / max(height, width)

    def side(length: int) -> int:
        return max(SHORTEST_SIDE, round(length * scale / GRID) * GRID)

    return side(height), side(width)


def resized(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    """[h, w, 3] of the size asked for: averaged when it shrinks, interpolated when it grows."""
    if rgb.shape[:2] == size:
        return np.ascontiguousarray(rgb)
    shrinks = size[0] < rgb.shape[0]
    out = cv2.resize(
        np.ascontiguousarray(rgb), size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return np.asarray(out, np.uint8)
