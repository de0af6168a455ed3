"""Puts defects into a picture, never too faint to be seen, and says which pixels they cover."""

import cv2
import numpy as np

from starter.pictures.samples import Box, Mask, Pixels, box_around
from starter.surfaces.brush import COVERED, Brush
from starter.surfaces.defects import DRAWERS
from starter.surfaces.marks import MARKS
from starter.surfaces.materials import Plane, uniform

INSTANCES = (0.65, 0.25, 0.1)
"""How often a picture holds one, two or three defects of its kind."""

VISIBLE_GREY_LEVELS = 16.0
"""A defect changes its pixels by at least this on average, so that a person can see it."""

VISIBLE_SHARE = 0.0004
"""And covers at least this share of the picture: 12 pixels of 168 x 168."""

ATTEMPTS = 40
STRONGEST = 2.4

ALL_DRAWERS = DRAWERS | MARKS


def grain_direction(picture: Plane) -> float | None:
    """Direction of the grooves in radians, None without any (structure tensor, Bigun & Granlund 1987)."""
    grey = cv2.resize(picture.mean(axis=2), (84, 84), interpolation=cv2.INTER_AREA)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    xx, yy, xy = float((dx * dx).mean()), float((dy * dy).mean()), float((dx * dy).mean())
    coherence = np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-6)
    return float(0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2) if coherence > 0.35 else None


def _visible(before: Plane, after: Plane, mask: Mask) -> bool:
    if mask.mean() < VISIBLE_SHARE:
        return False
    return bool(np.abs(after[mask] - before[mask]).mean() >= VISIBLE_GREY_LEVELS)


def _draw_one(picture: Plane, kind: str, rng: np.random.Generator) -> tuple[Plane, Mask]:
    """Draws until it can be seen, stronger and elsewhere each time."""
    angle, grain = uniform(rng, 0, 2 * np.pi), grain_direction(picture)
    light = (float(np.cos(angle)), float(np.sin(angle)))
    for attempt in range(ATTEMPTS):
        strength = min(STRONGEST, 1 + 0.2 * attempt)
        brush = Brush(rng, picture.shape[0], strength, light, grain)
        drawn, opacity = ALL_DRAWERS[kind](picture, brush)
        after, mask = np.clip(drawn, 0, 255, dtype=np.float32), opacity > COVERED
        if _visible(picture, after, mask):
            return after, mask
    raise ValueError(
        f"a {kind} cannot be seen in a picture of mean {picture.mean():.0f}; give a lighter or darker one"
    )


def draw(picture: Plane, kind: str, rng: np.random.Generator) -> tuple[Plane, Mask, tuple[Box, ...]]:
    """One to three defects of a kind in a square picture [S, S, 3] of 0..255."""
    mask, boxes = np.zeros(picture.shape[:2], bool), []
    for _ in range(1 + int(rng.choice(3, p=INSTANCES))):
        picture, instance = _draw_one(picture, kind, rng)
        mask |= instance
        boxes.append(box_around(instance, kind))
    return picture, mask, tuple(boxes)


def apply_defect(pixels: Pixels, kind: str, rng: np.random.Generator) -> tuple[Pixels, Mask, tuple[Box, ...]]:
    """Damages a real square picture [S, S, 3]; a grey picture stays grey. `kind` is a key of ALL_DRAWERS.

    Raises ValueError for a picture so dark or bright that the defect would not show.
    """
    drawn, mask, boxes = draw(pixels.astype(np.float32), kind, rng)
    if np.array_equal(pixels[..., 0], pixels[..., 2]):
        drawn[:] = drawn.mean(axis=2, keepdims=True)
    return drawn.astype(np.uint8), mask, boxes
