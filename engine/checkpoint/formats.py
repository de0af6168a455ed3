"""How a weight is kept in our own layout: which parts it has, their shapes, and the way back to numbers.

E experts, N output channels, K input rows
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from engine.format.layout import ROWS_PER_BYTE, SEGMENT
from engine.quant.groups import decode_groups, encode_groups, group_shapes
from engine.quant.quantizer import TwoBitStack
from engine.quant.rows import decode_rows, encode_rows


class Format(StrEnum):
    """The formats a manifest may name."""

    PLAIN = "plain"
    ROWS8 = "rows8"
    GROUPS4 = "groups4"
    TWO_BIT = "two_bit"


@dataclass(frozen=True)
class Part:
    """One stored tensor of a weight; any floating type will do where `dtype` is None."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None


Parts = Mapping[str, Tensor]
"""The stored tensors of a weight by suffix, as `parts_of` lists them."""

ROW_SCALE = ".row_scale"
GROUP_SCALE = ".group_scale"
CODES, SCALES, SIGNS = ".codes", ".scales", ".signs"

SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    Format.PLAIN: ("",),
    Format.ROWS8: ("", ROW_SCALE),
    Format.GROUPS4: ("", GROUP_SCALE),
    Format.TWO_BIT: (CODES, SCALES, SIGNS),
}
"""What is added to a weight's name for each of its parts."""


def parts_of(kind: Format, shape: tuple[int, ...]) -> dict[str, Part]:
    """The parts, by suffix, of a weight `[N, K]`, or `[E, N, K]` in 2 bits."""
    if kind is Format.PLAIN:
        return {"": Part(shape, None)}
    *experts, channels, rows = shape
    if kind is Format.ROWS8:
        return {"": Part(shape, torch.int8), ROW_SCALE: Part((channels,), torch.float32)}
    if kind is Format.GROUPS4:
        codes, scales = group_shapes(channels, rows)
        return {"": Part(codes, torch.uint8), GROUP_SCALE: Part(scales, torch.float16)}
    return {
        CODES: Part((*experts, channels // SEGMENT, rows // ROWS_PER_BYTE, SEGMENT), torch.uint8),
        SCALES: Part((*experts, channels), torch.float16),
        SIGNS: Part((rows,), torch.int8),
    }


def encoded(kind: Format, weight: Tensor) -> dict[str, Tensor]:
    """The parts of a plain weight in any format but the 2-bit one, which needs more than the weight."""
    if kind is Format.PLAIN:
        return {"": weight.contiguous()}
    codes, scales = encode_rows(weight) if kind is Format.ROWS8 else encode_groups(weight)
    return dict(zip(SUFFIXES[kind], (codes, scales), strict=True))


def decoded(kind: Format, parts: Mapping[str, Tensor], channels: int, window_bits: int) -> Tensor:
    """The weight of that many output channels that the parts stand for; fp32 unless it is plain."""
    if kind is Format.PLAIN:
        return parts[""]
    if kind is Format.ROWS8:
        return decode_rows(parts[""], parts[ROW_SCALE])
    if kind is Format.GROUPS4:
        return decode_groups(parts[""], parts[GROUP_SCALE], channels)
    stack = TwoBitStack(parts[CODES], parts[SCALES], parts[SIGNS], window_bits)
    return torch.stack([stack[expert].dequantized() for expert in range(len(stack.codes))])
