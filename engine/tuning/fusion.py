"""Fusion: one calibrated opinion from several, cross-fitted on pictures that each had not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from engine.tuning.probe import FittedProbe, Floats, Probe, fit_probe

Opinions = Mapping[str, Floats]
"""Each opinion's numbers for every picture: [N, width]."""


@dataclass(frozen=True)
class Fusion:
    """A logistic regression of the opinions named in `uses`, in that order."""

    uses: tuple[str, ...]
    probe: Probe

    def log_probabilities(self, opinions: Opinions) -> Floats:
        """[N, K] from what the opinions say of N pictures."""
        return self.probe.log_probabilities(_joined(opinions, self.uses))


@dataclass(frozen=True)
class FittedFusion:
    """The fusion chosen, its held-out log-probabilities [N, K], and the loss of everything tried."""

    fusion: Fusion
    held_out: Floats
    losses: dict[tuple[str, ...], float]


def fit_fusion(
    opinions: Opinions, labels: NDArray[np.int64], classes: int, folds: Sequence[NDArray[np.int64]]
) -> FittedFusion:
    """Fit every combination of opinions and keep the one with the least held-out loss.

    `opinions` are themselves of held-out pictures, so none is trusted for what it remembers.
    """
    fitted: dict[tuple[str, ...], FittedProbe] = {}
    for uses in _combinations(tuple(opinions)):
        fitted[uses] = fit_probe(_joined(opinions, uses)[:, None], labels, classes, folds)
    losses = {uses: each.loss for uses, each in fitted.items()}
    best = min(losses, key=losses.__getitem__)
    return FittedFusion(Fusion(best, fitted[best].probe), fitted[best].held_out, losses)


def centred(log_probabilities: Floats) -> Floats:
    """Log-probabilities less their mean over the classes, held to what a few dozen pictures can support."""
    held = np.maximum(log_probabilities, -12.0)
    return np.asarray(held - held.mean(-1, keepdims=True))


def compressed(scores: Floats) -> Floats:
    """Scores in spreads above the typical good part, large ones drawn in."""
    return np.arcsinh(scores / 2)


def _combinations(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size)]


def _joined(opinions: Opinions, uses: tuple[str, ...]) -> Floats:
    return np.concatenate([opinions[name] for name in uses], axis=1)
