"""Odd ones among the good: pictures that a part taught with the other good ones finds unlike them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine import EngineError, tuning
from services.teach.data.check import Checked
from services.teach.data.pictures import Finding, Level, is_good
from services.teach.taught.lesson import Sample, samples_of

MOST = 400
"""Good pictures that are compared; of more, as many are drawn."""

FEWEST = 10
SPREADS = 4.0
"""Spreads above the median from which on a picture is odd; a spread is 1.4826 median deviations."""

SHOWN = 24


def odd_ones(
    checked: Checked, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> list[Finding]:
    """The oddest good pictures, the oddest first, for a person to confirm; none of fewer than ten."""
    good = [each for each in samples_of(checked) if is_good(each.picture.label)]
    if len(good) < FEWEST:
        return []
    drawn = np.sort(np.random.default_rng(seed).permutation(len(good))[:MOST])
    compared = [good[index] for index in drawn]
    scores = _left_out_scores(compared, seed, progress)
    middle = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - middle))) + 1e-9
    distances = (scores - middle) / spread
    order = np.argsort(-distances)[:SHOWN]
    return [
        _finding(compared[index], float(distances[index])) for index in order if distances[index] >= SPREADS
    ]


def _left_out_scores(
    samples: list[Sample], seed: int, progress: Callable[[int, int], None] | None
) -> NDArray[np.float64]:
    """How odd each picture looks to a bank of the others [N]."""

    def tell(share: float, _what: str) -> None:
        if progress is not None:
            progress(round(share * len(samples)), len(samples))

    pictures = [
        tuning.LabelledPicture("good", each.picture.group, each.labelled().pixels) for each in samples
    ]
    try:
        part = tuning.teach(pictures, tuning.TeachOptions(good="good", seed=seed), tell)
    except EngineError:
        # So few groups that nothing can be left out: nothing to compare.
        return np.zeros(len(samples))
    return np.array([each.anomaly for each in part.held_out])


def _finding(sample: Sample, distance: float) -> Finding:
    detail = f"looks unlike the other good ones: {distance:.1f} spreads above the usual"
    hint = "look at it: a defect that was missed, another part, or a kind of good part that is rare so far"
    return Finding(Level.WARNING, "odd-one-out", detail, hint, sample.picture.path)
