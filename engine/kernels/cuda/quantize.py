"""Activations to int8, as `engine.format.activations` rounds them: as they are, or after SwiGLU."""

import torch
from torch import Tensor

from engine.format.activations import Quantized
from engine.kernels.cuda.launch import (
    BLOCK,
    ELEMENTS,
    WARPS,
    Kernel,
    Launch,
    Launcher,
    Value,
    integers,
    launch_of,
    parts,
    read,
    written,
)

_SIGNS = read("signs", "int8", "K", optional=True)
_QUANTIZED = (written("values", "int8", "T B 128"), written("scales", "float32", "T B"))

QUANTIZE = Kernel(
    "quantize",
    "quantize.cu",
    ("ELEMENT",),
    (read("x", "element", "T K"), _SIGNS, *_QUANTIZED, *integers("tokens", "rows")),
)
SWIGLU_QUANTIZE = Kernel(
    "swiglu_quantize",
    "quantize.cu",
    ("ELEMENT",),
    (
        read("gate", "element", "T K"),
        read("up", "element", "T K"),
        _SIGNS,
        *_QUANTIZED,
        *integers("tokens", "rows"),
    ),
)


def quantize_launch(kernel: Kernel, element: str, tokens: int, rows: int) -> Launch:
    """Each warp takes a block of a token; `kernel` is either."""
    return launch_of(kernel, {"ELEMENT": element}, parts(tokens * parts(rows, BLOCK), WARPS))


def quantize(launcher: Launcher, x: Tensor, signs: Tensor | None = None) -> Quantized:
    """`[T, K]` with one scale for each token and block, rotated first where `signs` `[K]` are given."""
    return _quantize(launcher, QUANTIZE, {"x": x.contiguous()}, x, signs)


def swiglu_quantize(launcher: Launcher, gate: Tensor, up: Tensor, signs: Tensor | None = None) -> Quantized:
    """The same of `silu(gate) * up`, both `[T, K]`."""
    given: dict[str, Value] = {"gate": gate.contiguous(), "up": up.contiguous()}
    return _quantize(launcher, SWIGLU_QUANTIZE, given, gate, signs)


def _quantize(
    launcher: Launcher, kernel: Kernel, given: dict[str, Value], x: Tensor, signs: Tensor | None
) -> Quantized:
    tokens, rows = x.shape
    values = torch.empty(tokens, parts(rows, BLOCK), BLOCK, dtype=torch.int8, device=x.device)
    scales = torch.empty(tokens, parts(rows, BLOCK), device=x.device)
    arguments: dict[str, Value] = {
        **given,
        "signs": signs,
        "values": values,
        "scales": scales,
        "tokens": tokens,
        "rows": rows,
    }
    launcher.launch(quantize_launch(kernel, ELEMENTS[x.dtype], tokens, rows), arguments)
    return Quantized(values, scales)
