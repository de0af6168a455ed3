"""Two-bit methods to compare ours with, each as what becomes of weights: rounding, HQQ and GPTQ.

E experts, N output channels, K input rows, G groups of weights that share a scale and a zero point
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.quant.hessian import damped
from engine.quant.quantizer import quantize_stack
from engine.quant.rotation import random_signs

CODE_BITS = 2
LARGEST = 3
GROUP = 64
SIGNS_SEED = 1

SHRINKS = torch.linspace(1.0, 0.4, 31)

HQQ_POWER, HQQ_STRENGTH, HQQ_GROWTH, HQQ_ROUNDS = 0.7, 10.0, 1.01, 20
"""The settings of its authors (Badri & Shaji 2023)."""

Keep = Callable[[Tensor, Tensor], Tensor]
"""Weights `[E, N, K]` and Hessians `[E, K, K]`, or `[1, K, K]` for all, to the weights that are kept."""


@dataclass(frozen=True)
class Method:
    """A way to keep weights: `shared_bits` serve a group of `group` weights of a row, None a whole row."""

    keep: Keep
    shared_bits: int
    group: int | None = None

    def bits(self, rows: int) -> float:
        """Bits of a weight, all in."""
        return CODE_BITS + self.shared_bits / (self.group or rows)


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


def nearest(weights: Tensor, _: Tensor, group: int | None) -> Tensor:
    """`[E, N, K]` rounded group by group."""
    groups = weights.unflatten(-1, (-1, group or weights.shape[-1]))
    return rounded(groups, *grid(groups)).flatten(-2)


def hqq(weights: Tensor, _: Tensor, group: int) -> Tensor:
    """`[E, N, K]` with zero points that serve most weights at the cost of outliers (Badri & Shaji 2023)."""
    groups = weights.unflatten(-1, (-1, group))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = ((high - low) / LARGEST).clamp(min=1e-7).half().float()
    zero, strength = -low / scale, HQQ_STRENGTH
    best: Tensor = groups
    least = torch.inf
    for _round in range(HQQ_ROUNDS):
        codes = (groups / scale + zero).round().clamp(0, LARGEST)
        values = (codes - zero.half().float()) * scale
        lost = float((groups - values).abs().mean())
        if lost >= least:
            break
        best, least = values, lost
        error = groups - values
        size = error.abs().clamp(min=1e-12)
        outliers = error.sign() * (size - size ** (HQQ_POWER - 1) / strength).clamp(min=0)
        zero = (codes - (groups - outliers) / scale).mean(-1, keepdim=True)
        strength *= HQQ_GROWTH
    return best.flatten(-2)


def gptq(weight: Tensor, hessian: Tensor, group: int | None) -> Tensor:
    """`[N, K]` rounded column by column, each error carried into later ones (Frantar et al. 2023)."""
    left, out, width = weight.clone(), torch.empty_like(weight), group or weight.shape[1]
    upper = torch.linalg.cholesky(
        torch.cholesky_inverse(torch.linalg.cholesky(damped(hessian).double())), upper=True
    ).float()
    for column in range(weight.shape[1]):
        if column % width == 0:
            scale, zero = grid(left[:, column : column + width])
        out[:, column] = rounded(left[:, column, None], scale, zero)[:, 0]
        error = (left[:, column] - out[:, column]) / upper[column, column]
        left[:, column + 1 :] -= error[:, None] * upper[column, column + 1 :]
    return out


def matrix_by_matrix(keep: Keep) -> Keep:
    """For stacks what `keep` is for a weight `[N, K]` and a Hessian `[K, K]`."""

    def kept(weights: Tensor, hessians: Tensor) -> Tensor:
        every = hessians.expand(len(weights), -1, -1)
        return torch.stack([keep(*pair) for pair in zip(weights, every, strict=True)])

    return kept


def ours(weights: Tensor, hessians: Tensor, window_bits: int) -> Tensor:
    """`[E, N, K]` as our code keeps it."""
    signs = random_signs(weights.shape[2], SIGNS_SEED)
    kept, _ = quantize_stack(weights, hessians, signs, window_bits)
    return torch.stack([kept[expert].dequantized() for expert in range(len(weights))])


def methods(window_bits: tuple[int, ...]) -> Mapping[str, Method]:
    """All methods by name: ours with these windows, and the others with groups and at our own bits."""
    scale, zero = 16, 2
    return {
        **{f"ours, L = {bits}": Method(partial(ours, window_bits=bits), scale) for bits in window_bits},
        "GPTQ, group 64": Method(matrix_by_matrix(partial(gptq, group=GROUP)), scale + zero, GROUP),
        "GPTQ, row": Method(matrix_by_matrix(partial(gptq, group=None)), scale + zero),
        "HQQ, group 64": Method(partial(hqq, group=GROUP), 2 * scale, GROUP),
        "nearest, group 64": Method(partial(nearest, group=GROUP), scale + zero, GROUP),
        "nearest, row": Method(partial(nearest, group=None), scale + zero),
    }
