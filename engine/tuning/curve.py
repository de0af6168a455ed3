"""The learning curve: what fewer pictures would have given, and of which class more would help."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tuning.probe import Floats, fit_probe

SHARES = (0.25, 0.5)
"""Shares of the pictures for which the probe is taught again; all of them were taught already."""
MORE = 20
"""Pictures that an advice proposes to add."""
SLOWEST, FASTEST = 0.15, 1.0
"""Exponents by which an error may fall with the number of pictures."""
LEAST_TAUGHT = 2


@dataclass(frozen=True)
class CurvePoint:
    """Held-out balanced accuracy with so many pictures a class, on average."""

    pictures: float
    accuracy: float


@dataclass(frozen=True)
class Advice:
    """So many more pictures of a class, and by how much the balanced accuracy would rise."""

    label: str
    more: int
    gain: float


def learning_curve(
    features: Floats,
    labels: NDArray[np.int64],
    classes: int,
    folds: Sequence[NDArray[np.int64]],
    full: CurvePoint,
    seed: int,
) -> tuple[CurvePoint, ...]:
    """Points for fewer pictures, from features [N, D], and the one of all of them at the end.

    A point leaves out the same pictures from teaching and from the test, so its folds shrink alike.
    """
    points = []
    for share in SHARES:
        kept = _thinned(labels, share, seed)
        position = {index: new for new, index in enumerate(kept.tolist())}
        smaller = [
            np.array([position[index] for index in fold.tolist() if index in position]) for fold in folds
        ]
        used = [fold for fold in smaller if len(fold)]
        if len(kept) == len(labels) or len(used) < 2:
            continue
        fitted = fit_probe(features[kept][:, None], labels[kept], classes, used)
        accuracy = balanced_accuracy(fitted.held_out.argmax(1), labels[kept])
        points.append(CurvePoint(len(kept) / classes, accuracy))
    return (*points, full)


def advise(
    curve: Sequence[CurvePoint], said: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[Advice, ...]:
    """For each class that is mistaken at all, what more pictures of it promise; the most promising first."""
    exponent = _exponent(curve)
    found = []
    for index, label in enumerate(classes):
        mine = labels == index
        count, wrong = int(mine.sum()), float((said[mine] != index).mean())
        if wrong > 0:
            gain = wrong * (1 - (count / (count + MORE)) ** exponent) / len(classes)
            found.append(Advice(label, MORE, gain))
    return tuple(sorted(found, key=lambda each: -each.gain))


def balanced_accuracy(said: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean over the classes of the share that was said right, 0 to 1."""
    return float(np.mean([(said[labels == each] == each).mean() for each in np.unique(labels)]))


def _exponent(curve: Sequence[CurvePoint]) -> float:
    """How fast the error falls: error ~ pictures ** -exponent, from the first point to the last."""
    first, last = curve[0], curve[-1]
    fallen = (1 - last.accuracy + 1e-3) / (1 - first.accuracy + 1e-3)
    if last.pictures <= first.pictures:
        return SLOWEST
    return float(np.clip(-np.log(fallen) / np.log(last.pictures / first.pictures), SLOWEST, FASTEST))


def _thinned(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    kept = [
        rng.permutation(np.flatnonzero(labels == each))[
            : max(LEAST_TAUGHT, round(share * (labels == each).sum()))
        ]
        for each in np.unique(labels)
    ]
    return np.sort(np.concatenate(kept))
