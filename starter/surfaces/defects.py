"""Defects of machined surfaces, drawn as they look in reality; each returns the picture and its opacity."""

from collections.abc import Callable

import cv2
import numpy as np

from starter.surfaces.brush import Brush, Drawn, across_grain, local_grey, moved, paint, spot
from starter.surfaces.materials import Plane, uniform
from starter.surfaces.strokes import Points, bezier, blob, disc_distance, random_walk, soft_step, stroke


def scratch(picture: Plane, brush: Brush) -> Drawn:
    """A long thin nearly straight line that fades at its ends, bright with a dark side or the reverse."""
    rng, size = brush.rng, brush.size
    angle, length = across_grain(brush), size * uniform(rng, 0.25, 0.95)
    half = np.array([np.cos(angle), np.sin(angle)], np.float32) * (length / 2)
    centre = spot(brush, 0.2)
    points = bezier(centre - half, centre + half, uniform(rng, -0.06, 0.06), 13)
    profile = np.sin(np.linspace(0.35, np.pi - 0.35, 12)).astype(np.float32)
    line = stroke(size, points, profile * (size / 168) * uniform(rng, 1.1, 2.6))
    grey = local_grey(picture, line)
    bright = grey < 100 or (grey < 175 and rng.random() < 0.6)
    contrast = uniform(rng, 55, 110) * brush.strength * (1 if bright else -1)
    side = moved(line, -np.sin(angle) * 1.4, np.cos(angle) * 1.4) * (1 - line)
    return picture + (contrast * line - 0.4 * contrast * side)[..., None], line


def dent(picture: Plane, brush: Brush) -> Drawn:
    """A round hollow: one flank in shadow, the other lit, the texture bent across it."""
    rng, size = brush.rng, brush.size
    radius = size * uniform(rng, 0.07, 0.19)
    radii = (radius, radius * uniform(rng, 0.7, 1.0))
    centre = spot(brush, 0.2)
    distance = disc_distance(size, centre, radii, uniform(rng, 0, 180))
    depth = np.asarray(np.clip(1 - distance**2, 0, None) ** 2, np.float32)
    slope_y, slope_x = np.gradient(depth)
    slope_y, slope_x = slope_y * radius, slope_x * radius
    y, x = np.mgrid[:size, :size].astype(np.float32)
    bend = np.float32(0.18 * radius)
    bent = cv2.remap(
        picture, x + slope_x * bend, y + slope_y * bend, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    shade = (slope_x * brush.light[0] + slope_y * brush.light[1]) * (uniform(rng, 45, 80) * brush.strength)
    return bent + (shade - depth * 10)[..., None], soft_step(distance, 0.9, 0.1)


def pit(picture: Plane, brush: Brush) -> Drawn:
    """Small deep holes, close together or one larger one, each with a thin lit edge away from the lamp."""
    rng, size = brush.rng, brush.size
    count = int(rng.integers(1, 7))
    largest = 0.036 if count == 1 else 0.024
    centre, holes = spot(brush, 0.12), np.zeros((size, size), np.float32)
    for _ in range(count):
        at = np.asarray(centre + rng.normal(0, 0.05 * size, 2) * (count > 1), np.float32)
        radius = size * uniform(rng, 0.013 if count > 1 else 0.022, largest)
        distance = disc_distance(size, at, (radius, radius * uniform(rng, 0.75, 1.0)), uniform(rng, 0, 180))
        holes = np.maximum(holes, soft_step(distance, 1.0, 0.45))
    floor = np.clip(picture * 0.22 - 8 * brush.strength, 2, 45)
    edge = np.clip(moved(holes, brush.light[0] * 1.3, brush.light[1] * 1.3) - holes, 0, 1)
    return paint(picture, holes, floor) + (edge * 40)[..., None], holes


STAINS = ((0.62, 0.45, 0.3), (0.45, 0.42, 0.38), (0.72, 0.62, 0.35), (0.5, 0.55, 0.75), (0.55, 0.5, 0.5))
"""Rust, oil, old coolant, heat tint, soot: what is left of red, green and blue."""


def stain(picture: Plane, brush: Brush) -> Drawn:
    """A discoloured patch with soft edges; the texture shows through."""
    rng, size = brush.rng, brush.size
    shape = blob(size, rng, spot(brush, 0.18), size * uniform(rng, 0.1, 0.28), uniform(rng, 0.25, 0.6))
    opacity = shape * min(1.0, uniform(rng, 0.6, 0.95) * brush.strength)
    rim = 4 * shape * (1 - shape) * (0.25 if rng.random() < 0.4 else 0.0)
    tint = np.array(STAINS[rng.integers(len(STAINS))], np.float32)
    dark = picture.mean() < 75
    colour = picture * tint + (45 + 45 * tint) if dark else picture * tint
    return paint(picture, opacity, colour) * (1 - rim)[..., None], shape


def crack(picture: Plane, brush: Brush) -> Drawn:
    """A dark jagged line with branches, widest at its root."""
    rng, size = brush.rng, brush.size
    angle, length = across_grain(brush), size * uniform(rng, 0.4, 0.85)
    middle, direction = spot(brush, 0.3), np.array([np.cos(angle), np.sin(angle)], np.float32)
    trunk = random_walk(rng, middle - direction * (length / 2), angle, length, size * 0.035)
    width = size / 168 * uniform(rng, 1.3, 2.8)
    line = stroke(size, trunk, np.linspace(width, 0.6, len(trunk), dtype=np.float32))
    for _ in range(int(rng.integers(2, 6))):
        root = trunk[rng.integers(1, len(trunk) - 1)]
        turn = uniform(rng, 0.5, 1.1) * (1 if rng.random() < 0.5 else -1)
        twig = random_walk(rng, root, angle + turn, length * uniform(rng, 0.12, 0.35), size * 0.03)
        line = np.maximum(
            line, stroke(size, twig, np.linspace(width * 0.7, 0.5, len(twig), dtype=np.float32))
        )
    floor = np.clip(picture * 0.15 - 10 * brush.strength, 0, 40)
    edge = np.clip(moved(line, brush.light[0], brush.light[1]) - line, 0, 1)
    return paint(picture, np.minimum(line * 1.2, 1), floor) + (edge * 18)[..., None], line


def weld_spatter(picture: Plane, brush: Brush) -> Drawn:
    """Frozen metal beads that stand proud: a bright specular point, a dark foot, a burnt halo."""
    rng, size = brush.rng, brush.size
    centre, covered = spot(brush, 0.2), np.zeros((size, size), np.float32)
    drawn, spread = picture, size * uniform(rng, 0.05, 0.12)
    for _ in range(int(rng.integers(4, 11))):
        at = np.asarray(centre + rng.normal(0, spread, 2), np.float32)
        radius = size * uniform(rng, 0.017, 0.046)
        drawn, bead = _bead(drawn, brush, at, radius)
        covered = np.maximum(covered, bead)
    return drawn, covered


def _bead(picture: Plane, brush: Brush, at: Points, radius: float) -> Drawn:
    radii = (radius, radius * uniform(brush.rng, 0.8, 1.0))
    distance = disc_distance(brush.size, at, radii, uniform(brush.rng, 0, 180))
    halo = np.exp(-np.clip(distance - 1, 0, None) * 1.6) * 0.55
    burnt = picture * (1 - halo[..., None] * np.array([0.5, 0.6, 0.7], np.float32))
    toward = disc_distance(brush.size, at - np.array(brush.light, np.float32) * radius * 0.4, radii)
    body = 70 + 70 * np.clip(1 - toward, -0.6, 1)
    shine = 250 * brush.strength * np.exp(-((toward / 0.42) ** 2))
    bead = soft_step(distance, 1.0, 1.5 / radius)
    ball = np.clip(body + shine, 15, 255)
    return paint(burnt, bead, np.asarray(ball[..., None], np.float32)), bead


DRAWERS: dict[str, Callable[[Plane, Brush], Drawn]] = {
    "scratch": scratch,
    "dent": dent,
    "pit": pit,
    "stain": stain,
    "crack": crack,
    "weld spatter": weld_spatter,
}
