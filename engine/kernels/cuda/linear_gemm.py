"""Products of many tokens with weights in 8 or 4 bits, on the tensor cores."""

from torch import Tensor

from engine.format.activations import Quantized
from engine.kernels.cuda.handles import Groups4, Rows8
from engine.kernels.cuda.launch import (
    BLOCK,
    ELEMENTS,
    STAGES,
    TILE,
    Kernel,
    Launch,
    launch_of,
    many,
    parts,
    staged_bytes,
)
from engine.kernels.cuda.linear import GROUPS4, ROWS8, arguments_of

_CONSTANTS = ("ELEMENT", "TOKENS", "STAGES")
LINEAR8_MANY = Kernel("linear8_many", "linear_gemm.cu", _CONSTANTS, ROWS8)
LINEAR4_MANY = Kernel("linear4_many", "linear_gemm.cu", _CONSTANTS, GROUPS4)

_GROUP_SCALE_BYTES = 2 * TILE * 2
_WEIGHT_BYTES = {LINEAR8_MANY: TILE * BLOCK, LINEAR4_MANY: TILE * BLOCK // 2 + _GROUP_SCALE_BYTES}
"""Of a tile of 128 channels and one block of input rows."""


def linear_gemm_launch(kernel: Kernel, element: str, tokens: int, channels: int) -> Launch:
    """Each thread block takes 128 channels and up to 128 tokens; `kernel` is either."""
    at_once = many(tokens)
    shared = STAGES * (_WEIGHT_BYTES[kernel] + staged_bytes(at_once))
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": at_once, "STAGES": STAGES}
    return launch_of(kernel, constants, parts(channels, TILE), parts(tokens, at_once), shared=shared)


def linear_gemm(
    matrix: Rows8 | Groups4, quantized: Quantized, rows: int, bias: Tensor | None, out: Tensor
) -> None:
    """As `linear`."""
    kernel = LINEAR8_MANY if isinstance(matrix, Rows8) else LINEAR4_MANY
    launch = linear_gemm_launch(kernel, ELEMENTS[out.dtype], *out.shape)
    matrix.launcher.launch(launch, arguments_of(matrix, quantized, rows, bias, out))
