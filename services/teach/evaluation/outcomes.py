"""What was said of labelled pictures: the input of evaluation and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labelled picture and what the recipe said of it."""

    path: Path
    truth: str
    probabilities: dict[str, float]
    """Of every class of the recipe."""
    part: str | None = None
    """What the picture is of, where several show the same part; parts are counted, not pictures."""
    lot: str | None = None
    camera: str | None = None
    brightness: float | None = None
    """Mean grey value, 0 to 255."""
    anomaly: float | None = None


@dataclass(frozen=True)
class Outcomes:
    """Outcomes with the recipe's classes; `acceptable` are those that a part may be."""

    classes: tuple[str, ...]
    acceptable: frozenset[str]
    items: tuple[Outcome, ...]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def defect(self) -> Floats:
        """The probability of any defect, for each picture [N]."""
        bad = [name for name in self.classes if name not in self.acceptable]
        return np.array([sum(each.probabilities[name] for name in bad) for each in self.items], np.float64)

    @cached_property
    def is_bad(self) -> NDArray[np.bool_]:
        """Whether the picture is labelled with a class that may not pass [N]."""
        return np.array([each.truth not in self.acceptable for each in self.items], bool)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The most probable class of each picture."""
        return tuple(max(self.classes, key=lambda name: each.probabilities[name]) for each in self.items)

    def where(self, chosen: Sequence[int]) -> "Outcomes":
        """Only the pictures at these indices."""
        return Outcomes(self.classes, self.acceptable, tuple(self.items[index] for index in chosen))

    def parts(self) -> tuple[Floats, Floats]:
        """Defect probabilities of the good and of the bad parts, the worst picture speaking for its part.

        For a bad part that is the picture most likely to escape, for a good one the most likely overkill.
        """
        worst: dict[tuple[bool, str], float] = {}
        for index, (item, score, bad) in enumerate(zip(self.items, self.defect, self.is_bad, strict=True)):
            key = (bool(bad), item.part or f"\0{index}")
            before = worst.get(key)
            worst[key] = float(score) if before is None else (min if bad else max)(before, float(score))
        good = [score for (bad, _), score in worst.items() if not bad]
        return np.array(good, np.float64), np.array(
            [score for (bad, _), score in worst.items() if bad], np.float64
        )
