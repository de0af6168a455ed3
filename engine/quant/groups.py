"""Four bits a weight with one fp16 scale for each 64 input rows: the smaller format beside the experts."""

import torch
from torch import Tensor

GROUP = 64
"""Input rows that share a scale."""

ZERO = 8
"""The nibble of a weight of zero; codes reach from -8 to 7 around it."""


def encode_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round `[N, K]`, K a multiple of 64, to nibbles uint8 `[N, K/2]` and fp16 scales `[N, K/64]`.

    The lower nibble of byte j codes column 2j. A scale maps the group's weight of largest size to -8, so its
    sign may be negative.
    """
    groups = weight.float().unflatten(-1, (-1, GROUP))
    extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    scales = (extreme / -ZERO).half()
    steps = groups / torch.where(scales == 0, 1.0, scales.float())
    codes = (steps.round().clamp(-ZERO, ZERO - 1) + ZERO).to(torch.uint8).flatten(-2)
    return codes[..., 0::2] | codes[..., 1::2] << 4, scales[..., 0]


def decode_groups(codes: Tensor, scales: Tensor) -> Tensor:
    """Back to fp32 `[N, K]`."""
    nibbles = torch.stack((codes & 0xF, codes >> 4), -1).flatten(-2)
    values = nibbles.unflatten(-1, (-1, GROUP)).float() - ZERO
    return (values * scales.float()[..., None]).flatten(-2)
