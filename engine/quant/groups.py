"""Four bits a weight with one fp16 scale for each 64 input rows: the smaller format beside the experts.

N output channels, padded to whole tiles of 128; K input rows, a multiple of 128
"""

import torch
from torch import Tensor

from engine.format.layout import HADAMARD_BLOCK, ROWS_PER_BYTE, SEGMENT

GROUP = 64
"""Input rows that share a scale."""

ZERO = 8
"""The nibble of a weight of zero; codes reach from -8 to 7 around it."""

ROWS_PER_OCTET = 2 * ROWS_PER_BYTE


def fits_groups(shape: tuple[int, ...]) -> bool:
    """Whether a weight of this shape can be kept in groups."""
    return len(shape) == 2 and shape[1] % HADAMARD_BLOCK == 0


def group_shapes(channels: int, rows: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of codes and scales for a weight `[N, K]`."""
    tiles = -(-channels // SEGMENT)
    return (tiles, rows // ROWS_PER_OCTET, SEGMENT, ROWS_PER_BYTE), (tiles, rows // GROUP, SEGMENT)


def encode_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round `[N, K]` to nibbles uint8 `[N/128, K/8, 128, 4]` and fp16 scales `[N/128, K/64, 128]`.

    A byte holds an input row in its lower and the one four rows on in its upper half. A scale maps the
    group's weight of largest size to -8, so its sign may be negative.
    """
    channels = -(-len(weight) // SEGMENT) * SEGMENT
    padded = torch.zeros(channels, weight.shape[1])
    padded[: len(weight)] = weight
    groups = padded.unflatten(-1, (-1, GROUP))
    extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    scales = (extreme / -ZERO).half()
    steps = groups / torch.where(scales == 0, 1.0, scales.float())
    nibbles = (steps.round().clamp(-ZERO, ZERO - 1) + ZERO).to(torch.uint8)
    halves = nibbles.reshape(-1, SEGMENT, weight.shape[1] // ROWS_PER_OCTET, 2, ROWS_PER_BYTE)
    codes = (halves[..., 0, :] | halves[..., 1, :] << 4).transpose(1, 2).contiguous()
    return codes, scales.reshape(-1, SEGMENT, weight.shape[1] // GROUP).transpose(1, 2).contiguous()


def decode_groups(codes: Tensor, scales: Tensor, channels: int) -> Tensor:
    """Back to fp32 `[N, K]`, without the padding."""
    halves = torch.stack((codes & 0xF, codes >> 4), -2).transpose(1, 2)
    values = halves.flatten(0, 1).flatten(1).float() - ZERO
    wide = scales.float().transpose(1, 2).flatten(0, 1)
    return (values.unflatten(-1, (-1, GROUP)) * wide[..., None]).flatten(1)[:channels]
