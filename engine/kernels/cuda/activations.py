"""Activations in int8, as `engine.quant.activations` makes them."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda import launches
from engine.kernels.cuda.arguments import ELEMENTS, Launcher, Value
from engine.kernels.cuda.launches import BLOCK, parts


class Quantized(NamedTuple):
    """Activations int8 `[T, B, 128]` and their scales fp32 `[T, B]`."""

    values: Tensor
    scales: Tensor


def quantize(launcher: Launcher, x: Tensor, signs: Tensor | None = None) -> Quantized:
    """`[T, K]` with one scale for each token and block, rotated first where `signs` `[K]` are given."""
    tokens, rows = x.shape
    values = torch.empty(tokens, parts(rows, BLOCK), BLOCK, dtype=torch.int8, device=x.device)
    scales = torch.empty(tokens, parts(rows, BLOCK), device=x.device)
    arguments: dict[str, Value] = {
        "x": x.contiguous(),
        "signs": signs,
        "values": values,
        "scales": scales,
        "tokens": tokens,
        "rows": rows,
    }
    launcher.launch(launches.quantize(ELEMENTS[x.dtype], tokens, rows), arguments)
    return Quantized(values, scales)
