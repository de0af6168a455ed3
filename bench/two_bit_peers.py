"""Two-bit methods to compare ours with: nearest rounding and GPTQ, each with a scale for 64 weights.

N output channels, K input rows, G = K/64 groups
"""

import torch
from torch import Tensor

from engine.quant.hessian import damped

GROUP = 64
LARGEST = 3
BITS = 2 + (16 + 2) / GROUP
"""Codes, and for each group an fp16 scale and a 2-bit zero point."""

SHRINKS = torch.linspace(1.0, 0.4, 31)


def grid(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero point of each row of `[..., n]`: the range that loses least, by a search."""
    low, high = weights.amin(-1).clamp(max=0), weights.amax(-1).clamp(min=0)
    best = torch.full_like(low, torch.inf)
    scales, zeros = torch.ones_like(low), torch.zeros_like(low)
    for shrink in SHRINKS:
        scale = (((high - low) * shrink).clamp(min=1e-9) / LARGEST).half().float().clamp(min=1e-7)
        zero = (-low * shrink / scale).round().clamp(0, LARGEST)
        loss = (rounded(weights, scale, zero) - weights).square().sum(-1)
        better = loss < best
        best = torch.where(better, loss, best)
        scales, zeros = torch.where(better, scale, scales), torch.where(better, zero, zeros)
    return scales, zeros


def rounded(weights: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The nearest of the four values for weights `[..., n]`; scale and zero `[...]`."""
    codes = (weights / scale[..., None] + zero[..., None]).round().clamp(0, LARGEST)
    return (codes - zero[..., None]) * scale[..., None]


def nearest(weight: Tensor) -> Tensor:
    """`[N, K]` rounded group by group."""
    groups = weight.unflatten(-1, (-1, GROUP))
    return rounded(groups, *grid(groups)).flatten(-2)


def gptq(weight: Tensor, hessian: Tensor) -> Tensor:
    """`[N, K]` rounded column by column, each error carried into later ones (Frantar et al. 2023)."""
    left, out = weight.clone(), torch.empty_like(weight)
    upper = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(damped(hessian).double())), upper=True
    ).float()
    for column in range(weight.shape[1]):
        if column % GROUP == 0:
            scale, zero = grid(left[:, column : column + GROUP])
        out[:, column] = rounded(left[:, column, None], scale, zero)[:, 0]
        error = (left[:, column] - out[:, column]) / upper[column, column]
        left[:, column + 1 :] -= error[:, None] * upper[column, column + 1 :]
    return out
