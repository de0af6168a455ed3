"""What every defect is drawn with: chance, light, the direction of the grooves, and ways to lay paint on."""

from dataclasses import dataclass

import cv2
import numpy as np

from starter.surfaces.materials import Plane, uniform
from starter.surfaces.strokes import Points

COVERED = 0.25
"""Opacity from which a pixel counts as defective."""


@dataclass(frozen=True)
class Brush:
    """What a defect needs to know about the picture it is drawn into."""

    rng: np.random.Generator
    size: int
    strength: float
    light: tuple[float, float]
    grain: float | None
    """Direction of the grooves in radians, None without any."""


Drawn = tuple[Plane, Plane]
"""The changed picture [H, W, 3] and the opacity of the defect [H, W]."""


def spot(brush: Brush, margin: float) -> Points:
    """A place at least this share of the picture away from its border, in pixels."""
    return np.asarray(brush.rng.uniform(margin, 1 - margin, 2) * brush.size, np.float32)


def paint(picture: Plane, opacity: Plane, colour: Plane | float) -> Plane:
    """The picture with a colour laid over it."""
    return np.asarray(picture + (colour - picture) * opacity[..., None], np.float32)


def moved(plane: Plane, dx: float, dy: float) -> Plane:
    """The plane shifted by pixels, 0 where nothing came from."""
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(plane, shift, plane.shape[1::-1]), np.float32)


def local_grey(picture: Plane, opacity: Plane) -> float:
    """The mean grey value under a defect."""
    covered = opacity > COVERED
    return float(picture[covered].mean()) if covered.any() else float(picture.mean())


def across_grain(brush: Brush) -> float:
    """An angle that grooves do not hide."""
    if brush.grain is None:
        return uniform(brush.rng, 0, np.pi)
    return brush.grain + uniform(brush.rng, 0.45, np.pi - 0.45)
