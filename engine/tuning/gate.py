"""The gate: whether a picture can be judged at all, learned from what good pictures look like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.tuning.pictures import Pixels
from engine.tuning.probe import Floats
from engine.tuning.shift import shift_between

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
OUTLINE_SIDE = 64
LEAST_ALIKE = 4
"""Pictures from which it can be told whether pictures lie alike."""
ALIKE, LEAST_SHIFT, LEAST_RESPONSE = 0.02, 0.06, 0.25
"""Shares of the side within which good pictures lie alike and a picture is not called shifted; a weaker peak
of the correlation tells nothing."""


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
    """What a usable picture is like.

    `ranges` [5, 2] are the usual values of each measure, `farthest` the distance up to which a picture is
    this part, `typical` the mean picture and `shift` how far one may lie from it, as a share of its side:
    infinite where pictures do not lie alike.
    """

    ranges: Floats
    farthest: float
    typical: NDArray[np.float32]
    shift: float

    def reason(self, rgb: Pixels, counts: NDArray[np.bool_], distance: float) -> str | None:
        """Why a picture cannot be judged, or None; `distance` is to the nearest picture taught."""
        for value, (low, high), name in zip(measures(rgb, counts), self.ranges, MEASURES, strict=True):
            below, above = REASONS[name]
            if value < low and below is not None:
                return below
            if value > high and above is not None:
                return above
        if distance > self.farthest:
            return "wrong part"
        return "shifted" if outlines_apart(outline(rgb), self.typical) > self.shift else None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` needs."""
        numbers = np.array([self.farthest, self.shift])
        return {"ranges": self.ranges, "numbers": numbers, "typical": self.typical}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Gate":
        """The gate that `arrays` came from."""
        farthest, shift = arrays["numbers"].tolist()
        return cls(arrays["ranges"], farthest, arrays["typical"], shift)


class GateBuilder:
    """Gathers what pictures are like, one at a time; bad parts count too, for they are to be judged."""

    def __init__(self) -> None:
        self._measured: list[Floats] = []
        self._outlines: list[NDArray[np.float32]] = []

    def add(self, rgb: Pixels, counts: NDArray[np.bool_]) -> None:
        """Take in one picture with the pixels of it that count [H, W]."""
        self._measured.append(measures(rgb, counts))
        self._outlines.append(outline(rgb))

    def gate(self, distances: Floats) -> Gate:
        """The gate; `distances` is of each picture to the nearest other one [N]."""
        values = np.array(self._measured)
        middle = np.median(values, 0)
        spread = np.maximum(values.std(0), LEAST_SPREAD)
        reach = np.maximum(TOLERANCE * spread, 1.5 * np.abs(values - middle).max(0))
        beyond = TOLERANCE / 2 * (np.std(distances) + 0.1 * np.median(distances))
        typical = np.asarray(np.mean(self._outlines, 0), np.float32)
        shifts = self._shifts_from_the_others(typical)
        alike = float((shifts < ALIKE).mean()) >= 0.9
        return Gate(
            np.stack([middle - reach, middle + reach], 1),
            float(np.max(distances) + beyond),
            typical,
            max(LEAST_SHIFT, 1.5 * float(shifts[np.isfinite(shifts)].max())) if alike else np.inf,
        )

    def _shifts_from_the_others(self, typical: NDArray[np.float32]) -> Floats:
        """How far each outline lies from the mean of the others; infinite where they have little in common.

        Its own share in the mean would make every picture look as if it lay in its place.
        """
        count = len(self._outlines)
        if count < LEAST_ALIKE:
            return np.array([np.inf])
        others = [
            np.float32(1 / (count - 1)) * (typical * np.float32(count) - each) for each in self._outlines
        ]
        found = [shift_between(each, mean) for each, mean in zip(self._outlines, others, strict=True)]
        return np.array(
            [
                float(np.hypot(across, down)) / OUTLINE_SIDE if response > LEAST_RESPONSE else np.inf
                for across, down, response in found
            ]
        )


def outline(rgb: Pixels) -> NDArray[np.float32]:
    """Grey [64, 64] of mean zero."""
    grey = cv2.cvtColor(
        cv2.resize(rgb, (OUTLINE_SIDE,) * 2, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    return np.asarray(grey - grey.mean(), np.float32)


def outlines_apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far one outline lies from the other, a share of the side; 0 where they have little in common."""
    across, down, response = shift_between(one, other)
    return float(np.hypot(across, down)) / OUTLINE_SIDE if response > LEAST_RESPONSE else 0.0
