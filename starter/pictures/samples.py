"""One labelled picture: what every source of training data yields."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB, [H, W, 3]."""

Mask = NDArray[np.bool_]
"""True where a pixel is defective, [H, W]."""

GOOD = "good"
"""The wording of the class without a defect; it is always offered first."""


@dataclass(frozen=True)
class Box:
    """A rectangle around one defect, in fractions of width and height, origin at the top left."""

    kind: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Sample:
    """A picture, the classes offered for it, the right one, and where its defects are as far as known."""

    pixels: Pixels
    part: str
    classes: tuple[str, ...]
    label: str
    boxes: tuple[Box, ...]
    mask: Mask | None
    source: str
    golden: Pixels | None = None


def box_around(mask: Mask, kind: str) -> Box:
    """The smallest box around the true pixels of a mask that has at least one."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(
        kind,
        float(columns[0] / width),
        float(rows[0] / height),
        float((columns[-1] + 1) / width),
        float((rows[-1] + 1) / height),
    )
