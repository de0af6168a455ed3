"""Activations in int8, and their product with compressed weights: the oracle of the kernels, bit for bit.

T tokens, N output channels, K input rows in B blocks of 128, G groups of weights that share a scale
"""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.format.layout import HADAMARD_BLOCK

LARGEST = 127

SMALLEST = 1e-30
"""A block whose largest value is below this counts as zero: its reciprocal would not be finite."""

Weights = Tensor
"""Integers `[N, K]` of any type, not yet multiplied by their scales."""


class Quantized(NamedTuple):
    """Activations `[T, B, 128]` int8 and their scales `[T, B]` fp32."""

    values: Tensor
    scales: Tensor


def quantize_activations(x: Tensor, signs: Tensor | None = None) -> Quantized:
    """Round `[T, K]` to one scale for each token and block, after rotating where `signs` `[K]` are given.

    K is padded to whole blocks. A value that is not finite makes its block's scale not finite too, so that it
    shows in whatever is computed from it.
    """
    wide = x.float()
    if signs is not None:
        wide = _butterflies(wide * signs)
    missing = -wide.shape[-1] % HADAMARD_BLOCK
    blocks = torch.nn.functional.pad(wide, (0, missing)).unflatten(-1, (-1, HADAMARD_BLOCK))
    largest = blocks.abs().amax(-1)
    # Written with a tensor: torch divides a plain number by multiplying with a rounded reciprocal.
    inverse = torch.where(largest >= SMALLEST, torch.full_like(largest, LARGEST) / largest, 0.0)
    rounded = (blocks * inverse[..., None]).round().nan_to_num()
    return Quantized(rounded.to(torch.int8), largest / LARGEST)


def _butterflies(x: Tensor) -> Tensor:
    """The Hadamard transform of each block of 128, added in the order of the kernels."""
    stride = 1
    while stride < HADAMARD_BLOCK:
        first, second = x.unflatten(-1, (-1, 2, stride)).unbind(-2)
        x = torch.stack((first + second, first - second), -2).flatten(-3)
        stride *= 2
    return x * HADAMARD_BLOCK**-0.5


def multiply(weights: Weights, group_scales: Tensor | None, activations: Quantized) -> Tensor:
    """`[T, N]`: exact integer sums of each block, or group where `group_scales` `[N, G]` are given.

    They are added in fp32, block after block, each multiplied by the product of its scales.
    """
    values, scales = activations
    padded = torch.nn.functional.pad(weights.float(), (0, values[0].numel() - weights.shape[1]))
    parts = values.shape[1] if group_scales is None else group_scales.shape[1]
    by_part = padded.unflatten(-1, (parts, -1))
    tokens = values.float().flatten(1).unflatten(-1, (parts, -1))
    out = torch.zeros(len(values), len(weights), device=weights.device)
    for part in range(parts):
        scale = scales[:, part * values.shape[1] // parts, None]
        if group_scales is not None:
            scale = group_scales[None, :, part] * scale
        out = out + (tokens[:, part] @ by_part[:, part].T) * scale
    return out
