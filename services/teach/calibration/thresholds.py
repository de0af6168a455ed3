"""Chooses thresholds whose error rate is bounded: Learn then Test (Angelopoulos et al., arXiv 2110.01052).

The thresholds that may be chosen are a fixed grid that no score had a part in. Each in turn, from the one
that errs least on, is tested with the exact binomial p-value of the hypothesis that its true error rate is
above the aim; the first that cannot be rejected ends the sequence. So the family of tests errs in at most
1 - confidence of calibrations, whatever the distribution of the scores.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from services.teach.evaluation.outcomes import Floats

GRID: Floats = np.round(np.asarray(expit(np.linspace(-9.0, 9.0, 1801))), 6)
"""Thresholds on the defect probability, evenly spaced in log odds."""


def accept_threshold(bad: Floats, max_escape: float, confidence: float) -> float | None:
    """The highest threshold below which a bad part [N of scores] may be accepted; None when none is safe."""
    passed = _passed(_below(bad), len(bad), max_escape, confidence)
    return float(GRID[passed - 1]) if passed else None


def reject_threshold(good: Floats, max_overkill: float, confidence: float) -> float | None:
    """The lowest threshold from which on a good part [N of scores] may be rejected; None if none is safe."""
    rejected = len(good) - _below(good)
    passed = _passed(rejected[::-1], len(good), max_overkill, confidence)
    return float(GRID[len(GRID) - passed]) if passed else None


def _below(scores: Floats) -> NDArray[np.int64]:
    """How many scores lie below each threshold of the grid."""
    return np.asarray(np.searchsorted(np.sort(scores), GRID, side="left"), np.int64)


def _passed(mistakes: NDArray[np.int64], total: int, most: float, confidence: float) -> int:
    """How many thresholds of the sequence pass before the first that does not."""
    p_values = binom.cdf(mistakes, total, most)
    failed = np.flatnonzero(p_values > 1 - confidence)
    return int(failed[0]) if len(failed) else len(mistakes)
