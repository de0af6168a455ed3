"""Small made-up parts: brushed plates, some with a dark spot, some with a bright scratch."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from engine.tuning import LabelledPicture
from engine.tuning.pictures import Pixels

SIDE = 128


def plate(seed: int, label: str = "good", side: int = SIDE) -> Pixels:
    """A plate of one kind, RGB [side, side, 3]: good, spot or scratch."""
    rng = np.random.default_rng(seed)
    grey = 120 + cv2.blur(rng.normal(0, 30, (side, side)).astype(np.float32), (side // 8, 1))
    x, y = (int(value) for value in rng.integers(side // 4, 3 * side // 4, 2))
    if label == "spot":
        cv2.circle(grey, (x, y), side // 16, 30.0, -1)
    if label == "scratch":
        cv2.line(grey, (x - side // 6, y), (x + side // 6, y + side // 10), 250.0, max(1, side // 64))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def pictures(counts: dict[str, int], start: int = 0, side: int = SIDE) -> list[LabelledPicture]:
    """So many plates of each kind, each with a seed of its own."""
    found: list[LabelledPicture] = []
    for label, count in counts.items():
        for _ in range(count):
            read: Callable[[], Pixels] = partial(plate, start + len(found), label, side)
            found.append(LabelledPicture(label, None, read))
    return found
