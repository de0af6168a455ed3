"""Changes to a picture that leave its label true."""

from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from starter.pictures.facts import METAL_PART
from starter.pictures.samples import Box, Mask, Pixels, Sample
from starter.surfaces.drawing import apply_defect
from starter.surfaces.materials import uniform

MARKING_KINDS = (
    "smear",
    "tear",
    "hair",
    "gouge",
    "smear",
    "tear",
    "scratch",
    "dent",
    "pit",
    "crack",
    "stain",
)
"""What is drawn on a good piece of turned metal to make a damaged one."""

LIGHT_SPAN, METAL_LIGHT_SPAN = 0.5, 1.0
"""Turned metal is photographed under very different lamps, some a third as bright as others."""


Plane = TypeVar("Plane", NDArray[np.uint8], NDArray[np.bool_])


def _turned(plane: Plane, quarters: int, mirrored: bool) -> Plane:
    turned = np.rot90(plane, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _turned_box(box: Box, quarters: int, mirrored: bool) -> Box:
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    for _ in range(quarters):
        x0, y0, x1, y1 = y0, 1 - x1, y1, 1 - x0
    if mirrored:
        x0, x1 = 1 - x1, 1 - x0
    return Box(box.kind, x0, y0, x1, y1)


def turn(sample: Sample, quarters: int, mirrored: bool) -> Sample:
    """The sample turned left by quarters, then mirrored left to right."""
    return replace(
        sample,
        pixels=_turned(sample.pixels, quarters, mirrored),
        boxes=tuple(_turned_box(box, quarters, mirrored) for box in sample.boxes),
        mask=None if sample.mask is None else _turned(sample.mask, quarters, mirrored),
        golden=None if sample.golden is None else _turned(sample.golden, quarters, mirrored),
    )


def _window(sample: Sample, rng: np.random.Generator, least: float) -> tuple[float, float, float]:
    """Left, top and side of a crop in fractions; it holds every known box."""
    side = uniform(rng, least, 1.0)
    left, right = (
        min((b.x0 for b in sample.boxes), default=1.0),
        max((b.x1 for b in sample.boxes), default=0.0),
    )
    top, bottom = (
        min((b.y0 for b in sample.boxes), default=1.0),
        max((b.y1 for b in sample.boxes), default=0.0),
    )
    side = max(side, right - left, bottom - top)
    x = uniform(rng, max(0.0, right - side), max(0.0, right - side, min(left, 1 - side)))
    y = uniform(rng, max(0.0, bottom - side), max(0.0, bottom - side, min(top, 1 - side)))
    return min(x, 1 - side), min(y, 1 - side), side


def _cropped(plane: Pixels, window: tuple[float, float, float], way: int) -> Pixels:
    height, width = plane.shape[:2]
    x, y, side = window
    matrix = np.array([[1 / side, 0, -x * width / side], [0, 1 / side, -y * height / side]], np.float32)
    return np.asarray(
        cv2.warpAffine(plane, matrix, (width, height), flags=way, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def zoom(sample: Sample, rng: np.random.Generator, least: float = 0.8) -> Sample:
    """A crop of at least this share of each side, enlarged to the whole; no known defect is cut."""
    window = _window(sample, rng, least)
    x, y, side = window

    def moved(box: Box) -> Box:
        return Box(
            box.kind, (box.x0 - x) / side, (box.y0 - y) / side, (box.x1 - x) / side, (box.y1 - y) / side
        )

    mask: Mask | None = None
    if sample.mask is not None:
        mask = _cropped(sample.mask.astype(np.uint8), window, cv2.INTER_NEAREST) > 0
    return replace(
        sample,
        pixels=_cropped(sample.pixels, window, cv2.INTER_LINEAR),
        boxes=tuple(moved(box) for box in sample.boxes),
        mask=mask,
        golden=None if sample.golden is None else _cropped(sample.golden, window, cv2.INTER_LINEAR),
    )


def relight(pixels: Pixels, rng: np.random.Generator, span: float) -> Pixels:
    """Other exposure, contrast, gamma and noise; a span of 1 goes down to half the light."""
    exposure = uniform(rng, 1 - 0.5 * span, 1 + 0.2 * span)
    contrast = uniform(rng, 1 - 0.25 * span, 1 + 0.25 * span)
    gamma = uniform(rng, 1 - 0.3 * span, 1 + 0.2 * span)
    middle = float(pixels.mean())
    values = np.arange(256, dtype=np.float32)
    stretched = np.clip((values - middle) * contrast + middle, 0, 255)
    table = np.clip(255 * (stretched / 255) ** gamma * exposure, 0, 255)
    noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32) * uniform(rng, 0, 3 * span)
    return np.asarray(np.clip(table[pixels] + noise[..., None], 0, 255), np.uint8)


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turned, mirrored, zoomed and lit anew; boxes, mask and golden picture follow."""
    turned = turn(sample, int(rng.integers(4)), bool(rng.random() < 0.5))
    zoomed = zoom(turned, rng) if rng.random() < 0.6 else turned
    span = METAL_LIGHT_SPAN if sample.part == METAL_PART else LIGHT_SPAN
    return replace(zoomed, pixels=relight(zoomed.pixels, rng, span))


def tilt(sample: Sample, rng: np.random.Generator, degrees: float = 30.0) -> Sample:
    """A sample without boxes, rotated by up to some degrees about its middle, borders mirrored."""
    height, width = sample.pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(
        (width / 2, height / 2), uniform(rng, -degrees, degrees), uniform(rng, 1.0, 1.2)
    )
    pixels = cv2.warpAffine(sample.pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return replace(sample, pixels=np.asarray(pixels, np.uint8))


def damaged_copy(sample: Sample, rng: np.random.Generator) -> Sample:
    """A good piece of turned metal with a defect drawn on it: `damaged`, with its mask and boxes known."""
    kind = MARKING_KINDS[int(rng.integers(len(MARKING_KINDS)))]
    pixels, mask, boxes = apply_defect(sample.pixels, kind, rng)
    return replace(
        sample, pixels=pixels, label="damaged", boxes=boxes, mask=mask, source=f"{sample.source}+{kind}"
    )
