"""Defect-free surfaces as a camera sees them: texture, tint and light of common materials."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""Grey values around 0..255, [H, W] or [H, W, 3]."""


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between low and high."""
    return float(rng.uniform(low, high))


def smooth_noise(rng: np.random.Generator, size: int, cells: int, cells_across: int | None = None) -> Plane:
    """Standard normal values on a coarse grid, enlarged smoothly to [size, size]."""
    grid = rng.standard_normal((cells, cells_across or cells), dtype=np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def turned_by(texture: Plane, degrees: float, size: int) -> Plane:
    """The middle [size, size] of a larger square texture, rotated."""
    side = texture.shape[0]
    rotation = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
    rotation[:, 2] += (size - side) / 2
    return np.asarray(cv2.warpAffine(texture, rotation, (size, size)), np.float32)


def tinted(grey: Plane, tint: tuple[float, float, float]) -> Plane:
    """RGB from grey values and a colour whose components are around 1."""
    return grey[..., None] * np.array(tint, np.float32)


def _grain(rng: np.random.Generator, size: int, amount: float) -> Plane:
    return rng.standard_normal((size, size), dtype=np.float32) * amount


def brushed_steel(rng: np.random.Generator, size: int) -> Plane:
    """Fine streaks in one direction."""
    side = size * 3 // 2
    streaks = (
        smooth_noise(rng, side, side, 6) * uniform(rng, 5, 11) + smooth_noise(rng, side, side // 5, 3) * 4
    )
    grey = turned_by(streaks, uniform(rng, 0, 180), size) + uniform(rng, 110, 190)
    return tinted(grey + _grain(rng, size, 2.5), (1.0, uniform(rng, 0.98, 1.01), uniform(rng, 0.96, 1.04)))


def turned_metal(rng: np.random.Generator, size: int) -> Plane:
    """Parallel grooves of uneven depth, as a lathe leaves them, under a microscope."""
    side = size * 3 // 2
    fine = smooth_noise(rng, side, int(side / uniform(rng, 2.5, 5)), 4) * uniform(rng, 10, 22)
    coarse = smooth_noise(rng, side, int(side / uniform(rng, 8, 20)), 2) * uniform(rng, 10, 28)
    grooves = np.asarray((fine + coarse) * uniform(rng, 0.4, 1.0), np.float32)
    grey = turned_by(grooves, uniform(rng, 0, 180), size) + uniform(rng, 60, 190)
    return tinted(grey + smooth_noise(rng, size, size // 3) * 4 + _grain(rng, size, 3), (1.0, 1.0, 1.0))


def milled_metal(rng: np.random.Generator, size: int) -> Plane:
    """Arcs of a face mill at an even feed."""
    centre = rng.uniform(-2.5, -0.4, 2) * size * rng.choice((-1.0, 1.0), 2)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    radius = np.hypot(x - centre[0], y - centre[1])
    waves = np.sin(radius * np.float32(2 * np.pi / uniform(rng, 5, 13))) * uniform(rng, 6, 15)
    grey = waves + smooth_noise(rng, size, 10) * 3 + uniform(rng, 100, 190)
    return tinted(grey + _grain(rng, size, 3), (1.0, 1.0, uniform(rng, 0.97, 1.04)))


def cast_iron(rng: np.random.Generator, size: int) -> Plane:
    """A dark, rough, mottled skin."""
    grey = smooth_noise(rng, size, size // 4) * uniform(rng, 4, 8) + smooth_noise(rng, size, size // 12) * 5
    warm = uniform(rng, 0.93, 1.0)
    return tinted(grey + _grain(rng, size, 5) + uniform(rng, 60, 120), (1.0, (1 + warm) / 2, warm))


def painted_sheet(rng: np.random.Generator, size: int) -> Plane:
    """An even colour with faint orange peel."""
    colour = rng.uniform(60, 215, 3).astype(np.float32)
    peel = smooth_noise(rng, size, size // 6) * uniform(rng, 0.5, 2.0) + _grain(rng, size, 1.0)
    return colour + peel[..., None]


ANODISED = ((0.55, 0.65, 1.25), (1.25, 0.5, 0.5), (1.2, 0.95, 0.5), (0.9, 0.9, 0.95), (0.45, 0.45, 0.5))


def anodised_aluminium(rng: np.random.Generator, size: int) -> Plane:
    """A matt metallic colour with fine grain and a trace of the drawing direction."""
    grain = turned_by(smooth_noise(rng, size * 3 // 2, size // 2, 30) * 3, uniform(rng, 0, 180), size)
    tint = ANODISED[rng.integers(len(ANODISED))]
    return tinted(grain + _grain(rng, size, 4) + uniform(rng, 110, 170), tint)


def plastic(rng: np.random.Generator, size: int) -> Plane:
    """A moulded skin with an etched grain."""
    colour = rng.uniform(0.4, 1.1, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.4, 1.2))
    grain = smooth_noise(rng, size, size // 2) * uniform(rng, 1, 6) + _grain(rng, size, 1.5)
    return tinted(grain + uniform(rng, 90, 170), (float(colour[0]), float(colour[1]), float(colour[2])))


def ceramic(rng: np.random.Generator, size: int) -> Plane:
    """A pale, glossy glaze with a broad highlight."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    glow = np.exp(-((x - uniform(rng, 0, 1)) ** 2 + (y - uniform(rng, 0, 1)) ** 2) / uniform(rng, 0.05, 0.3))
    grey = glow * uniform(rng, 5, 25) + _grain(rng, size, 1.5) + uniform(rng, 170, 215)
    return tinted(np.asarray(grey, np.float32), (1.0, uniform(rng, 0.95, 1.0), uniform(rng, 0.85, 1.0)))


MASK_COLOURS = ((30, 95, 50), (25, 60, 120), (125, 30, 35), (35, 38, 42), (20, 120, 75))


def solder_mask(rng: np.random.Generator, size: int) -> Plane:
    """A lacquered board: straight traces that shine through, and tinned pads."""
    colour = np.array(MASK_COLOURS[rng.integers(len(MASK_COLOURS))], np.float32) * uniform(rng, 0.9, 1.5)
    traces = np.zeros((size, size), np.float32)
    pitch, across = int(rng.integers(12, 26)), bool(rng.random() < 0.5)
    for start in range(int(rng.integers(pitch)), size, pitch):
        bend = int(rng.integers(size))
        points = np.array(
            [(start, 0), (start, bend), (start + pitch // 2, bend + pitch // 2), (start + pitch // 2, size)]
        )
        line = points[:, ::-1] if across else points
        cv2.polylines(traces, [line.astype(np.int32)], False, 1.0, int(rng.integers(2, 6)), cv2.LINE_AA)
    board = colour + traces[..., None] * uniform(rng, 12, 28)
    return np.asarray(board + _grain(rng, size, 2)[..., None], np.float32)


MATERIALS: dict[str, Callable[[np.random.Generator, int], Plane]] = {
    "brushed steel": brushed_steel,
    "turned metal": turned_metal,
    "milled metal": milled_metal,
    "cast iron": cast_iron,
    "painted sheet": painted_sheet,
    "anodised aluminium": anodised_aluminium,
    "plastic": plastic,
    "ceramic": ceramic,
    "solder mask": solder_mask,
}


def lit(surface: Plane, rng: np.random.Generator) -> Plane:
    """The surface under an uneven lamp and through a lens: gradient, exposure, vignette."""
    size = surface.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle, slope = uniform(rng, 0, 2 * np.pi), uniform(rng, 0, 0.35)
    light = 1 + slope * (x * np.cos(angle) + y * np.sin(angle)) - uniform(rng, 0, 0.35) * (x * x + y * y)
    exposed = surface * (light * uniform(rng, 0.75, 1.2))[..., None]
    return np.asarray(np.clip(exposed, 6, 249), np.float32)


def photographed(surface: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The camera's 8-bit picture: a little defocus and sensor noise."""
    if rng.random() < 0.4:
        surface = np.asarray(cv2.GaussianBlur(surface, (0, 0), uniform(rng, 0.4, 0.9)), np.float32)
    noise = rng.standard_normal(surface.shape[:2], dtype=np.float32) * uniform(rng, 0, 4)
    return np.clip(surface + noise[..., None], 0, 255).astype(np.uint8)
