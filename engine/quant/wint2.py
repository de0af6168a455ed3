"""Reads experts that FastDeploy stored in its WINT2 format, as numbers that can be encoded again.

One byte codes four weights: an affine map of the byte, by output channel, gives a word of 15 bits, and each
weight is a window of 6 bits of it. 64 input rows share a 4-bit scale, an output channel a scale of its own.

N output channels, K input rows, a multiple of 128; two scales of 64 rows lie in one byte
"""

from collections.abc import Mapping
from enum import StrEnum

import torch
from torch import Tensor

ROWS_PER_BYTE = 4
WINDOW_SHIFTS = (9, 6, 3, 0)
WINDOW_MASK = 63
CENTRE = 32
GROUP = 64
INTERLEAVED = (4, 8, 2)
"""Inside a group, stored position (a, b, c) of this shape is the logical row (b, a, c)."""

LEAST_CORRELATION = 0.5
"""Right rows of a 2-bit weight agree with the original by over 0.9, wrong ones by chance."""


class RowOrder(StrEnum):
    """How the input rows lie inside a group of 64; a checkpoint does not say."""

    PLAIN = "plain"
    INTERLEAVED = "interleaved"


def decode_wint2(tensors: Mapping[str, Tensor], order: RowOrder) -> Tensor:
    """The weight `[N, K]` fp32 of one projection of one expert.

    `tensors` have their names in the checkpoint: quant_weight uint8 `[K/4, N]`, weight_scale uint8
    `[K/128, N]`, code_scale and code_zp fp32 `[N]`, and super_scales `[N]` where there are any. Raises
    ValueError where the shapes do not fit each other.
    """
    codes, local = tensors["quant_weight"], tensors["weight_scale"]
    _check(tensors)
    steps = torch.floor(codes.float() * tensors["code_scale"] + tensors["code_zp"] + 0.5).int()
    windows = torch.stack([(steps >> shift & WINDOW_MASK) - CENTRE for shift in WINDOW_SHIFTS], 1)
    values = windows.flatten(0, 1).float()
    scales = torch.stack((local >> 4, local & 0xF), 1).flatten(0, 1).float()
    if "super_scales" in tensors:
        scales = scales * tensors["super_scales"].float()
    stored = values.unflatten(0, (-1, GROUP)) * scales[:, None]
    if order is RowOrder.INTERLEAVED:
        stored = stored.unflatten(1, INTERLEAVED).transpose(1, 2).flatten(1, 3)
    return stored.flatten(0, 1).T.contiguous()


def row_order(tensors: Mapping[str, Tensor], original: Tensor) -> RowOrder:
    """The order in which a weight resembles its original `[N, K]`; ValueError where it does in neither."""
    likeness = {order: _correlation(decode_wint2(tensors, order), original.float()) for order in RowOrder}
    best = max(RowOrder, key=lambda order: likeness[order])
    if likeness[best] < LEAST_CORRELATION:
        raise ValueError(f"the weight resembles the original in neither order of rows: {likeness}")
    return best


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1])


def _check(tensors: Mapping[str, Tensor]) -> None:
    quads, channels = tensors["quant_weight"].shape
    rows = quads * ROWS_PER_BYTE
    expected = {
        "weight_scale": (rows // (2 * GROUP), channels),
        "code_scale": (channels,),
        "code_zp": (channels,),
        "super_scales": (channels,),
    }
    wrong = [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if rows % (2 * GROUP):
        wrong.append(f"{rows} input rows are not a multiple of {2 * GROUP}")
    if wrong:
        raise ValueError("tensors of WINT2 do not fit each other: " + "; ".join(wrong))
