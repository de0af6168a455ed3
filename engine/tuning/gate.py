"""The gate: whether a picture can be judged at all, learned from what good pictures look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.tuning.pictures import Pixels
from engine.tuning.probe import Floats

MEASURES = ("brightness", "contrast", "sharpness", "saturated", "black")
REASONS = {
    "brightness": ("dark", "bright"),
    "contrast": ("flat", "harsh"),
    "sharpness": ("blurred", "noisy"),
    "saturated": (None, "saturated"),
    "black": (None, "dark"),
}
"""What a value below and above the usual range is called; None is nothing to complain about."""
LOGARITHMIC = (True, True, True, False, False)
TOLERANCE = 6.0
"""Spreads beyond which a picture is not judged: far outside, so that no odd part is turned away."""
LEAST_SPREAD = np.array([0.06, 0.08, 0.12, 0.01, 0.02])
"""Spread assumed at the least: twenty pictures of one minute look too much alike."""
ANALYSED_SIDE = 256


def measures(rgb: Pixels, counts: NDArray[np.bool_]) -> Floats:
    """Logarithms of brightness, contrast and sharpness, shares of saturated and black pixels [5]."""
    scale = ANALYSED_SIDE / max(rgb.shape[:2])
    size = (max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale)))
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    inside = cv2.resize(counts.astype(np.uint8), size).astype(bool)
    if not inside.any():
        inside[:] = True
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return np.array(
        [
            np.log1p(float(grey[inside].mean())),
            np.log1p(float(grey[inside].std())),
            np.log1p(float(edges[inside].std())),
            float((grey[inside] >= 250).mean()),
            float((grey[inside] <= 5).mean()),
        ]
    )


@dataclass(frozen=True)
class Gate:
    """The usual range of each measure [5, 2], and the distance up to which a picture is this part."""

    ranges: Floats
    farthest: float

    def reason(self, measured: Floats, distance: float) -> str | None:
        """Why a picture cannot be judged, or None; `distance` is to the nearest picture taught."""
        for value, (low, high), name in zip(measured, self.ranges, MEASURES, strict=True):
            below, above = REASONS[name]
            if value < low and below is not None:
                return below
            if value > high and above is not None:
                return above
        return "wrong part" if distance > self.farthest else None

    def arrays(self) -> dict[str, Floats]:
        """What `from_arrays` needs."""
        return {"ranges": self.ranges, "farthest": np.array([self.farthest])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Gate":
        """The gate that `arrays` came from."""
        return cls(arrays["ranges"], float(arrays["farthest"][0]))


def learn_gate(measured: Sequence[Floats], distances: Floats) -> Gate:
    """From the measures of the pictures it was taught with and the distance of each to the nearest other one.

    Bad parts count as well: they are to be judged, not turned away.
    """
    values = np.array(measured)
    middle = np.median(values, 0)
    spread = np.maximum(values.std(0), LEAST_SPREAD)
    reach = np.maximum(TOLERANCE * spread, 1.5 * np.abs(values - middle).max(0))
    farthest = float(np.max(distances) + TOLERANCE / 2 * (np.std(distances) + 0.1 * np.median(distances)))
    return Gate(np.stack([middle - reach, middle + reach], 1), farthest)
