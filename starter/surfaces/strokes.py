"""Soft shapes that defects are drawn with: every one returns an opacity from 0 to 1, [H, W]."""

import cv2
import numpy as np
from numpy.typing import NDArray

from starter.surfaces.materials import Plane, smooth_noise, uniform

SUBPIXEL_BITS = 4
Points = NDArray[np.float32]


def stroke(size: int, points: Points, widths: NDArray[np.float32]) -> Plane:
    """A polyline of [N, 2] points in pixels whose width changes from piece to piece."""
    canvas = np.zeros((size, size), np.uint8)
    fixed = np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)
    for start, end, width in zip(fixed[:-1], fixed[1:], widths, strict=False):
        # A line thinner than a pixel is a paler one.
        ink = int(255 * min(1.0, max(0.35, float(width))))
        thickness = max(1, round(float(width)))
        piece = (int(start[0]), int(start[1])), (int(end[0]), int(end[1]))
        cv2.line(canvas, *piece, ink, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return np.asarray(canvas / 255, np.float32)


def disc_distance(size: int, centre: Points, radii: tuple[float, float], degrees: float = 0.0) -> Plane:
    """Distance from the centre of an ellipse in units of its radius: 1 on its rim."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    dx, dy = x - centre[0], y - centre[1]
    angle = np.deg2rad(degrees)
    across, along = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return np.asarray(np.sqrt((across / radii[0]) ** 2 + (along / radii[1]) ** 2), np.float32)


def soft_step(values: Plane, edge: float, softness: float) -> Plane:
    """1 well below the edge, 0 well above it."""
    return np.asarray(np.clip((edge - values) / max(softness, 1e-3) + 0.5, 0, 1), np.float32)


def blob(size: int, rng: np.random.Generator, centre: Points, radius: float, softness: float) -> Plane:
    """An irregular patch."""
    radii = (radius * uniform(rng, 0.8, 1.25), radius * uniform(rng, 0.6, 1.0))
    ragged = disc_distance(size, centre, radii, uniform(rng, 0, 180)) + 0.22 * smooth_noise(rng, size, 9)
    return soft_step(ragged, 1.0, softness)


def bezier(start: Points, end: Points, bow: float, count: int) -> Points:
    """Points along a slight curve from start to end; bow is its height as a share of its length."""
    t = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    normal = np.array([-(end - start)[1], (end - start)[0]], np.float32)
    return np.asarray(start * (1 - t) + end * t + normal * (4 * bow * t * (1 - t)), np.float32)


def random_walk(rng: np.random.Generator, start: Points, angle: float, length: float, step: float) -> Points:
    """A jagged path that keeps its general direction."""
    count = max(3, int(length / step))
    turns = angle + rng.uniform(-0.75, 0.75, count) + np.cumsum(rng.normal(0, 0.12, count))
    steps = np.stack([np.cos(turns), np.sin(turns)], 1) * (step * rng.uniform(0.5, 1.5, (count, 1)))
    return np.asarray(np.concatenate([start[None], start + np.cumsum(steps, 0)]), np.float32)
