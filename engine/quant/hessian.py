"""What a layer's inputs look like: the mean of x x^T, which says how much an error of each weight counts.

T tokens, K input rows, E experts
"""

from collections.abc import Sequence

import torch
from torch import Tensor

DAMPING = 0.01
"""Added to the diagonal, as a share of its mean, so that inputs never seen do no harm."""

TINY = 1e-12
"""Keeps a mean over nothing from dividing by zero."""

TRUST = 1.0
"""An expert with this many tokens for each input row is believed as much as the mean of its layer."""


class Moments:
    """Gathers inputs `[T, K]` of one matrix into a Hessian `[K, K]`."""

    def __init__(self, rows: int) -> None:
        self.total = torch.zeros(rows, rows)
        self.weight = 0.0
        self.tokens = 0

    def add(self, inputs: Tensor, weights: Tensor | None = None) -> None:
        """Count these inputs; `weights` `[T]` say how much an output error of each matters."""
        weighted = inputs if weights is None else inputs * weights[:, None]
        self.total += weighted.T @ inputs
        self.weight += float(len(inputs) if weights is None else weights.sum())
        self.tokens += len(inputs)

    def mean(self) -> Tensor:
        """The Hessian; zero where nothing was seen."""
        return self.total / max(self.weight, TINY)


def common(experts: Sequence[Moments]) -> Tensor:
    """The Hessian `[K, K]` of all experts together."""
    total = torch.stack([each.total for each in experts]).sum(0)
    return total / max(sum(each.weight for each in experts), TINY)


def shrunk(experts: Sequence[Moments], towards: Tensor) -> Tensor:
    """A Hessian for each expert `[E, K, K]`; the fewer tokens one has seen, the more it is as `towards`."""
    trust = TRUST * len(towards)
    return torch.stack(
        [(each.tokens * each.mean() + trust * towards) / (each.tokens + trust) for each in experts]
    )


def damped(hessian: Tensor) -> Tensor:
    """The Hessian `[K, K]` with its diagonal raised; the identity where no input was ever seen."""
    level = hessian.diagonal().mean()
    eye = torch.eye(len(hessian))
    return eye if level <= 0 else hessian + DAMPING * level * eye
