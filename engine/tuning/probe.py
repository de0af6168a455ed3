"""The probe: multinomial logistic regression on pooled features, its strength chosen by held-out pictures."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]

STRENGTHS = (1.0, 10.0, 100.0, 1_000.0)
"""Inverse L2 penalties tried, for features of unit length."""
MOST_DIRECTIONS = 512
"""Principal directions kept: below as many pictures, the rotation loses nothing."""
LEAST_PROBABILITY = 1e-6
ITERATIONS = 300


@dataclass(frozen=True)
class Standardiser:
    """Shifts and scales features so that each has unit spread and a picture has length about one."""

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, features: Floats) -> "Standardiser":
        """From features [N, D]; a channel that hardly varies is not blown up."""
        spread = features.std(0)
        floor = 1e-3 * float(spread.max(initial=0.0)) + 1e-9
        return cls(features.mean(0), np.maximum(spread, floor) * np.sqrt(features.shape[1]))

    def __call__(self, features: Floats) -> Floats:
        """[N, D] or [D] -> the same shape."""
        return (features - self.mean) / self.spread


@dataclass(frozen=True)
class Probe:
    """A linear classifier of standardised features: weights [D, K], bias [K], one column for each class."""

    standardise: Standardiser
    weights: Floats
    bias: Floats

    def log_probabilities(self, features: Floats) -> Floats:
        """[N, D or more] -> [N, K]; it looks at the first D features."""
        used = features[:, : len(self.weights)]
        return log_softmax(self.standardise(used) @ self.weights + self.bias)

    def arrays(self) -> dict[str, Floats]:
        """What `from_arrays` needs."""
        return {
            "mean": self.standardise.mean,
            "spread": self.standardise.spread,
            "weights": self.weights,
            "bias": self.bias,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "Probe":
        """The probe that `arrays` came from."""
        return cls(Standardiser(arrays["mean"], arrays["spread"]), arrays["weights"], arrays["bias"])


@dataclass(frozen=True)
class FittedProbe:
    """A probe, its held-out log-probabilities [N, K], the strength chosen and the held-out loss."""

    probe: Probe
    held_out: Floats
    strength: float
    loss: float


def fit_probe(
    features: Floats, labels: NDArray[np.int64], classes: int, folds: Sequence[NDArray[np.int64]]
) -> FittedProbe:
    """Fit to features [N, V, D] of N pictures in V orientations (the first as the camera took it).

    Every orientation trains; held-out pictures are judged in the first. `folds` partition the N pictures.
    """
    count, variants, width = features.shape
    standardise = Standardiser.of(features.reshape(-1, width))
    flat = standardise(features.reshape(-1, width))
    coordinates, basis = _rotated(flat)
    space = coordinates.reshape(count, variants, -1)
    tried = {strength: _held_out(space, labels, classes, folds, strength) for strength in STRENGTHS}
    losses = {strength: cross_entropy(held_out, labels) for strength, held_out in tried.items()}
    best = min(losses, key=losses.__getitem__)
    weights, bias = _logistic(space.reshape(count * variants, -1), np.repeat(labels, variants), classes, best)
    return FittedProbe(Probe(standardise, basis @ weights, bias), tried[best], best, losses[best])


def _rotated(flat: Floats) -> tuple[Floats, Floats]:
    """Coordinates [N, R] in the span of the pictures, and the basis [D, R]; lengths are unchanged."""
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    values, vectors = np.linalg.eigh(gram)
    kept = np.flatnonzero(values > 1e-9 * values[-1])[::-1][:MOST_DIRECTIONS]
    if flat.shape[0] <= flat.shape[1]:
        basis = flat.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    else:
        basis = vectors[:, kept]
    return flat @ basis, basis


def _held_out(
    space: Floats,
    labels: NDArray[np.int64],
    classes: int,
    folds: Sequence[NDArray[np.int64]],
    strength: float,
) -> Floats:
    out = np.zeros((len(labels), classes))
    variants = space.shape[1]
    for fold in folds:
        train = np.setdiff1d(np.arange(len(labels)), fold)
        weights, bias = _logistic(
            space[train].reshape(len(train) * variants, -1),
            np.repeat(labels[train], variants),
            classes,
            strength,
        )
        out[fold] = log_softmax(space[fold, 0] @ weights + bias)
    return out


def _logistic(
    points: Floats, labels: NDArray[np.int64], classes: int, strength: float
) -> tuple[Floats, Floats]:
    """Weights [R, K] and bias [K]; a class without a picture among these gets next to no probability."""
    weights = np.zeros((points.shape[1], classes))
    bias = np.full(classes, np.log(LEAST_PROBABILITY))
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0.0
        return weights, bias
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable pictures let it run on for ever
        model.fit(points, labels)
    if len(present) == 2:
        weights[:, present] = np.stack([-model.coef_[0], model.coef_[0]], 1) / 2
        bias[present] = np.array([-model.intercept_[0], model.intercept_[0]]) / 2
    else:
        weights[:, present] = model.coef_.T
        bias[present] = model.intercept_
    return weights, bias


def log_softmax(logits: Floats) -> Floats:
    """[N, K] -> [N, K]."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def cross_entropy(log_probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Mean over the classes of the mean loss of a class: a rare class counts as much as a common one."""
    losses = -log_probabilities[np.arange(len(labels)), labels]
    return float(np.mean([losses[labels == each].mean() for each in np.unique(labels)]))
