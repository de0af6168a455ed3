"""Marks as turned metal has them under a microscope, where grooves are wide and a defect disturbs them."""

from collections.abc import Callable

import cv2
import numpy as np

from starter.surfaces.brush import Brush, Drawn, across_grain, paint, spot
from starter.surfaces.materials import Plane, smooth_noise, uniform
from starter.surfaces.strokes import bezier, disc_distance, soft_step, stroke


def _patch(brush: Brush, length: float, width: float, angle: float) -> Plane:
    """A long ragged patch; length and width are shares of the picture."""
    rng, size = brush.rng, brush.size
    distance = disc_distance(size, spot(brush, 0.2), (length * size, width * size), float(np.degrees(angle)))
    ragged = distance + smooth_noise(rng, size, 14) * 0.22 + smooth_noise(rng, size, 40) * 0.12
    return soft_step(ragged, 1.0, 0.35)


def smear(picture: Plane, brush: Brush) -> Drawn:
    """A short dark ragged patch that lies across the grooves; they show through a little."""
    rng = brush.rng
    shape = _patch(brush, uniform(rng, 0.04, 0.12), uniform(rng, 0.02, 0.05), across_grain(brush))
    kept = uniform(rng, 0.35, 0.65) / brush.strength
    return paint(picture, shape, picture * kept + 4), shape


def tear(picture: Plane, brush: Brush) -> Drawn:
    """Torn metal along the grooves: a pale rough patch that wipes them out, with a dark edge."""
    rng = brush.rng
    along = (brush.grain or 0.0) + uniform(rng, -0.15, 0.15)
    shape = _patch(brush, uniform(rng, 0.12, 0.4), uniform(rng, 0.025, 0.08), along)
    rough = smooth_noise(rng, brush.size, 24) * 22 + smooth_noise(rng, brush.size, 60) * 10
    pale = (
        cv2.GaussianBlur(picture, (0, 0), brush.size * 0.03) * 1.15 + (18 * brush.strength + rough)[..., None]
    )
    broken = np.clip(smooth_noise(rng, brush.size, 12), 0, 1)
    rim = 4 * shape * (1 - shape) * broken * uniform(rng, 0.3, 0.7)
    return paint(picture, shape * 0.9, np.asarray(pale, np.float32)) * (1 - rim)[..., None], shape


def hair(picture: Plane, brush: Brush) -> Drawn:
    """A fibre or a fine groove that wanders across in smooth bends."""
    rng, size = brush.rng, brush.size
    angle, half = across_grain(brush), size * uniform(rng, 0.2, 0.5)
    direction = np.array([np.cos(angle), np.sin(angle)], np.float32) * half
    middle, bow = spot(brush, 0.3), uniform(rng, -0.35, 0.35)
    bends = [bezier(middle - direction, middle, bow, 14), bezier(middle, middle + direction, -bow, 14)[1:]]
    points = np.concatenate(bends)
    line = stroke(size, points, np.full(len(points), size / 168 * uniform(rng, 1.2, 2.6), np.float32))
    return paint(picture, line * 0.9, picture * (uniform(rng, 0.3, 0.55) / brush.strength)), line


def gouge(picture: Plane, brush: Brush) -> Drawn:
    """A broad straight track with lines of its own that cut across the grooves."""
    rng, size = brush.rng, brush.size
    angle, length = across_grain(brush), size * uniform(rng, 0.4, 1.2)
    direction = np.array([np.cos(angle), np.sin(angle)], np.float32)
    middle, width = spot(brush, 0.2), size * uniform(rng, 0.03, 0.1)
    reach = direction * np.float32(length / 2)
    ends = np.stack([middle - reach, middle + reach])
    shape = np.asarray(
        cv2.GaussianBlur(stroke(size, ends, np.array([width], np.float32)), (0, 0), 1.0), np.float32
    )
    y, x = np.mgrid[:size, :size].astype(np.float32)
    across = (y - middle[1]) * direction[0] - (x - middle[0]) * direction[1]
    lines = np.cos(across * (2 * np.pi / uniform(rng, 4, 9))) * (uniform(rng, 8, 20) * brush.strength)
    floor = (
        cv2.GaussianBlur(picture, (0, 0), size * 0.02) * (uniform(rng, 0.5, 0.8) / brush.strength)
        + lines[..., None]
    )
    return paint(picture, shape * 0.85, np.asarray(floor, np.float32)), shape


MARKS: dict[str, Callable[[Plane, Brush], Drawn]] = {
    "smear": smear,
    "tear": tear,
    "hair": hair,
    "gouge": gouge,
}
