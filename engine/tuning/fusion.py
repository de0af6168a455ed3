"""Fusion: one calibrated opinion from several, cross-fitted on pictures that each had not seen.

The probe's log-probabilities stand as they are, and what the other opinions add is a correction that is
penalised towards nothing: with few pictures a free fit of everything would throw away what the probe knows.
Without a probe among the opinions the correction is all there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from engine.tuning.probe import Floats, cross_entropy, log_softmax

Opinions = Mapping[str, Floats]
"""Each opinion's numbers for every picture: [N, width]."""
Labels = NDArray[np.int64]

BASE = "probe"
PENALTIES = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Fusion:
    """Log-probabilities are base * (1 + sharpening) + (numbers - mean) / spread @ weights + bias."""

    uses: tuple[str, ...]
    mean: Floats
    spread: Floats
    weights: Floats
    bias: Floats
    sharpening: float

    def log_probabilities(self, opinions: Opinions) -> Floats:
        """[N, K] from what the opinions say of N pictures."""
        base, numbers = _split(opinions, self.uses, len(self.bias))
        standard = (numbers - self.mean) / self.spread
        return log_softmax((1 + self.sharpening) * base + standard @ self.weights + self.bias)

    def arrays(self) -> dict[str, Floats]:
        """What `from_arrays` needs beside `uses`."""
        numbers = {name: getattr(self, name) for name in ("mean", "spread", "weights", "bias")}
        return {**numbers, "sharpening": np.array([self.sharpening])}

    @classmethod
    def from_arrays(cls, uses: tuple[str, ...], arrays: Mapping[str, Floats]) -> "Fusion":
        """The fusion that `arrays` came from."""
        mean, spread, weights, bias = (arrays[name] for name in ("mean", "spread", "weights", "bias"))
        return cls(uses, mean, spread, weights, bias, float(arrays["sharpening"][0]))


@dataclass(frozen=True)
class FittedFusion:
    """The fusion chosen, its held-out log-probabilities [N, K], and the loss of everything tried."""

    fusion: Fusion
    held_out: Floats
    losses: dict[tuple[str, ...], float]


def fit_fusion(
    opinions: Opinions, labels: Labels, classes: int, folds: Sequence[NDArray[np.int64]]
) -> FittedFusion:
    """Fit every combination of opinions under every penalty and keep the one with the least held-out loss.

    `opinions` are themselves of held-out pictures, so none is trusted for what it remembers.
    """
    losses: dict[tuple[str, ...], float] = {}
    best: tuple[float, tuple[str, ...], float, Floats] | None = None
    for uses in _combinations(tuple(opinions)):
        for penalty in PENALTIES:
            held_out = _held_out(opinions, uses, labels, classes, folds, penalty)
            loss = cross_entropy(held_out, labels)
            losses[uses] = min(loss, losses.get(uses, np.inf))
            if best is None or loss < best[0]:
                best = (loss, uses, penalty, held_out)
    assert best is not None, "there is at least one opinion"
    _, uses, penalty, held_out = best
    return FittedFusion(_fit(opinions, uses, labels, classes, penalty), held_out, losses)


def centred(log_probabilities: Floats) -> Floats:
    """Log-probabilities less their mean over the classes, held to what a few dozen pictures can support."""
    held = np.maximum(log_probabilities, -12.0)
    return np.asarray(held - held.mean(-1, keepdims=True))


def summarised(scores: Floats) -> Floats:
    """Mean and largest of the scores of a source [N, S] -> [N, 2], large values drawn in.

    Two numbers, because a few dozen pictures cannot weigh every tap by itself.
    """
    return np.arcsinh(np.stack([scores.mean(-1), scores.max(-1)], -1) / 2)


def _combinations(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [chosen for size in range(1, len(names) + 1) for chosen in combinations(names, size)]


def _split(opinions: Opinions, uses: tuple[str, ...], classes: int) -> tuple[Floats, Floats]:
    """The base [N, K], zero where it is not used, and all other numbers side by side [N, D]."""
    count = len(next(iter(opinions.values())))
    base = opinions[BASE] if BASE in uses else np.zeros((count, classes))
    others = [opinions[name] for name in uses if name != BASE]
    return base, np.concatenate([np.zeros((count, 0)), *others], axis=1)


def _held_out(
    opinions: Opinions,
    uses: tuple[str, ...],
    labels: Labels,
    classes: int,
    folds: Sequence[NDArray[np.int64]],
    penalty: float,
) -> Floats:
    out = np.zeros((len(labels), classes))
    for fold in folds:
        train = np.setdiff1d(np.arange(len(labels)), fold)
        taught = {name: opinions[name][train] for name in uses}
        fusion = _fit(taught, uses, labels[train], classes, penalty)
        out[fold] = fusion.log_probabilities({name: opinions[name][fold] for name in uses})
    return out


def _fit(opinions: Opinions, uses: tuple[str, ...], labels: Labels, classes: int, penalty: float) -> Fusion:
    """The least loss, each class counting alike, and half the penalty times the squared parameters."""
    base, numbers = _split(opinions, uses, classes)
    mean, spread = numbers.mean(0), numbers.std(0) + 1e-6
    standard = (numbers - mean) / spread
    width = standard.shape[1]
    counts = np.bincount(labels, minlength=classes)
    weight = (len(labels) / np.count_nonzero(counts) / np.maximum(counts, 1))[labels]
    truth = np.eye(classes)[labels]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        sharpening, weights, bias = _parts(parameters, width, classes)
        said = log_softmax((1 + sharpening) * base + standard @ weights + bias)
        slope = weight[:, None] * (np.exp(said) - truth)
        value = -(weight * (said * truth).sum(1)).sum() + 0.5 * penalty * (parameters**2).sum()
        gradient = np.concatenate([[(slope * base).sum()], (standard.T @ slope).ravel(), slope.sum(0)])
        return float(value), gradient + penalty * parameters

    found = minimize(loss, np.zeros(1 + (width + 1) * classes), jac=True, method="L-BFGS-B").x
    sharpening, weights, bias = _parts(found, width, classes)
    return Fusion(uses, mean, spread, weights, bias, sharpening)


def _parts(parameters: Floats, width: int, classes: int) -> tuple[float, Floats, Floats]:
    weights = parameters[1 : 1 + width * classes].reshape(width, classes)
    return float(parameters[0]), weights, parameters[1 + width * classes :]
