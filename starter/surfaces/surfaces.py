"""Synthetic machined parts: a material, perhaps a pattern of fasteners, and at most one kind of defect."""

import numpy as np

from starter.pictures.facts import SURFACE_CLASSES, SURFACE_PART
from starter.pictures.samples import GOOD, Box, Mask, Sample, box_around
from starter.surfaces.defects import DRAWERS
from starter.surfaces.drawing import draw
from starter.surfaces.materials import MATERIALS, Plane, lit, photographed, uniform
from starter.surfaces.strokes import Points, disc_distance, soft_step

SIZE = 168
"""Height and width of a picture: 12 x 12 patches of 14 pixels."""

FIRST_HELD_OUT_SEED = 1_000_000_000
"""Training seeds lie below, held-out seeds from here on."""

GOOD_SHARE = 0.3
PATTERN_SHARE = 0.2
MISSING = "missing part"


def _pattern_points(rng: np.random.Generator, size: int) -> Points:
    """Places of a regular pattern: a grid or a ring, in pixels, [N, 2]."""
    if rng.random() < 0.35:
        count, radius = int(rng.integers(5, 9)), size * uniform(rng, 0.27, 0.36)
        angles = uniform(rng, 0, np.pi) + np.arange(count) * (2 * np.pi / count)
        return np.asarray(size / 2 + radius * np.stack([np.cos(angles), np.sin(angles)], 1), np.float32)
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    margin = size * uniform(rng, 0.13, 0.2)
    x, y = np.linspace(margin, size - margin, columns), np.linspace(margin, size - margin, rows)
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)


def _fastener(picture: Plane, kind: str, at: Points, radius: float, light: Points) -> tuple[Plane, Plane]:
    """One bolt, rivet or hole, and its opacity."""
    distance = disc_distance(picture.shape[0], at, (radius, radius))
    body = soft_step(distance, 1.0, 1.5 / radius)
    if kind == "hole":
        face = np.clip(picture * 0.15, 3, 30)
    else:
        toward = disc_distance(picture.shape[0], at - light * radius * 0.45, (radius, radius))
        face = np.repeat((185 - 75 * np.clip(toward, 0, 1.5))[..., None], 3, 2)
    if kind == "bolt":
        face = np.where((distance < 0.5)[..., None], np.float32(28), face)
    ring = np.exp(-(((distance - 1.1) / 0.14) ** 2)) * 0.55
    shaded = picture * (1 - ring[..., None])
    return np.asarray(shaded + (face - shaded) * body[..., None], np.float32), body


def _patterned(picture: Plane, rng: np.random.Generator, missing: bool) -> tuple[Plane, Mask]:
    """Draws a pattern, perhaps with one member absent, and where that one should be."""
    size = picture.shape[0]
    kind = ("bolt", "rivet", "hole")[rng.integers(3)]
    points = _pattern_points(rng, size)
    absent = int(rng.integers(len(points))) if missing else None
    radius, angle = size * uniform(rng, 0.045, 0.07), uniform(rng, 0, 2 * np.pi)
    light, gap = np.array([np.cos(angle), np.sin(angle)], np.float32), np.zeros((size, size), bool)
    for number, at in enumerate(points):
        if number == absent:
            gap = disc_distance(size, at, (radius, radius)) < 1
        else:
            picture, _ = _fastener(picture, kind, at, radius, light)
    return picture, gap


def _label(rng: np.random.Generator) -> str:
    defects = SURFACE_CLASSES[1:]
    return GOOD if rng.random() < GOOD_SHARE else defects[int(rng.integers(len(defects)))]


def generate(
    rng: np.random.Generator, size: int = SIZE, label: str | None = None, pattern_share: float = PATTERN_SHARE
) -> Sample:
    """A picture of a machined surface, with one kind of defect or none.

    `label` None draws good in about 30 of 100 cases; `pattern_share` of them show a pattern of fasteners.
    """
    label = _label(rng) if label is None else label
    material = list(MATERIALS)[int(rng.integers(len(MATERIALS)))]
    picture = lit(MATERIALS[material](rng, size), rng)
    mask, boxes = np.zeros((size, size), bool), tuple[Box, ...]()
    if label == MISSING or rng.random() < pattern_share:
        picture, mask = _patterned(picture, rng, label == MISSING)
        boxes = (box_around(mask, MISSING),) if label == MISSING else ()
    if label in DRAWERS:
        picture, mask, boxes = draw(picture, label, rng)
    return Sample(photographed(picture, rng), SURFACE_PART, SURFACE_CLASSES, label, boxes, mask, "synthetic")


def held_out(count: int, size: int = SIZE) -> list[Sample]:
    """Pictures no training seed can make; the same ones every time."""
    return [generate(np.random.default_rng(FIRST_HELD_OUT_SEED + number), size) for number in range(count)]
