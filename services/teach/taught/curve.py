"""The learning curve: the same part taught with a quarter and a half of the pictures."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine import EngineError, tuning
from engine.tuning import TaughtPart, TeachOptions
from services.teach.taught.lesson import LEAST_GOOD, Lesson, Sample

SHARES = (0.25, 0.5)
FEWEST = 4
"""Pictures of a class below which a point of the curve says nothing."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """With so many pictures, so many of every class on average were named rightly when left out."""

    pictures: int
    balanced_accuracy: float


def learning_curve(
    lesson: Lesson, whole: TaughtPart, seed: int, seconds: float, progress: Callable[[float], None]
) -> tuple[CurvePoint, ...]:
    """Points at a quarter, a half and all of the pictures, as many as there is time for.

    With one class alone there is nothing to name, and so no curve.
    """
    if len({each.name for each in lesson.taught}) < 2:
        return ()
    points, started = [], time.monotonic()
    for share in SHARES:
        chosen = _subset(lesson.taught, share, seed)
        expected = whole.provenance.seconds * share
        if chosen and expected <= seconds - (time.monotonic() - started):
            options = TeachOptions(good=lesson.good, seconds=seconds, seed=seed)
            try:
                part = tuning.teach([each.labelled() for each in chosen], options)
            except EngineError:
                # Too few of some class: the curve begins further right.
                continue
            points.append(CurvePoint(len(chosen), balanced_accuracy(part)))
        progress(share / sum(SHARES) if share == SHARES[0] else 1.0)
    return (*points, CurvePoint(len(lesson.taught), balanced_accuracy(whole)))


def balanced_accuracy(part: TaughtPart) -> float:
    """Mean over the classes of the share of left-out pictures that were named rightly."""
    right = defaultdict(list)
    for each in part.held_out:
        named = max(part.classes, key=lambda name, said=each: said.probabilities[name])  # type: ignore[misc]
        right[each.label].append(named == each.label)
    return float(np.mean([np.mean(hits) for hits in right.values()]))


def _subset(samples: Sequence[Sample], share: float, seed: int) -> list[Sample]:
    """The same share of every class, drawn by the seed; empty where a class would be too small."""
    order = np.random.default_rng(seed).permutation(len(samples))
    by_class: dict[str, list[int]] = defaultdict(list)
    for index in order:
        by_class[samples[index].name].append(int(index))
    chosen = [members[: round(share * len(members))] for members in by_class.values()]
    if min(map(len, chosen)) < FEWEST or max(map(len, chosen)) < LEAST_GOOD:
        return []
    return [samples[index] for index in sorted(index for each in chosen for index in each)]
