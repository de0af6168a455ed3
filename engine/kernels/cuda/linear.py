"""Products of few tokens with weights in 8 or 4 bits."""

from torch import Tensor

from engine.format.activations import Quantized
from engine.kernels.cuda.handles import Groups4, Rows8
from engine.kernels.cuda.launch import (
    ELEMENTS,
    FLOAT_BYTES,
    QUANTIZED,
    WARPS,
    Argument,
    Kernel,
    Launch,
    Value,
    few,
    integers,
    launch_of,
    parts,
    read,
    written,
)

CHANNELS = 32
"""Output channels of a thread block."""


def signature(*weights: Argument) -> tuple[Argument, ...]:
    """The arguments of a product: activations, weights, bias, result, sizes."""
    bias, out = read("bias", "float32", "N", optional=True), written("out", "element", "T N")
    return (*QUANTIZED, *weights, bias, out, *integers("tokens", "channels", "rows"))


ROWS8 = signature(read("codes", "int8", "N K"), read("channel_scales", "float32", "N"))
GROUPS4 = signature(
    read("codes", "uint8", "N/128 K/8 128 4"), read("group_scales", "float16", "N/128 K/64 128")
)
LINEAR8 = Kernel("linear8", "linear.cu", ("ELEMENT", "TOKENS"), ROWS8)
LINEAR4 = Kernel("linear4", "linear.cu", ("ELEMENT", "TOKENS"), GROUPS4)


def linear_launch(kernel: Kernel, element: str, tokens: int, channels: int) -> Launch:
    """Each thread block takes 32 channels and up to 8 tokens; `kernel` is either."""
    at_once = few(tokens)
    shared = 2 * WARPS * CHANNELS * at_once * FLOAT_BYTES
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": at_once}
    return launch_of(kernel, constants, parts(channels, CHANNELS), parts(tokens, at_once), shared=shared)


def linear(
    matrix: Rows8 | Groups4, quantized: Quantized, rows: int, bias: Tensor | None, out: Tensor
) -> None:
    """Fill `out` `[T, N]` with the product of activations of so many `rows`, and the `bias` fp32 `[N]`."""
    kernel = LINEAR8 if isinstance(matrix, Rows8) else LINEAR4
    launch = linear_launch(kernel, ELEMENTS[out.dtype], *out.shape)
    matrix.launcher.launch(launch, arguments_of(matrix, quantized, rows, bias, out))


def arguments_of(
    matrix: Rows8 | Groups4, quantized: Quantized, rows: int, bias: Tensor | None, out: Tensor
) -> dict[str, Value]:
    """The arguments by the names of ROWS8 or GROUPS4."""
    tokens, channels = out.shape
    if isinstance(matrix, Rows8):
        assert matrix.codes.shape == (channels, rows), f"codes {tuple(matrix.codes.shape)} for {rows} rows"
    else:
        assert matrix.scales.shape[1] * 64 == rows, f"scales {tuple(matrix.scales.shape)} for {rows} rows"
    return {
        **quantized._asdict(),
        "codes": matrix.codes,
        "channel_scales" if isinstance(matrix, Rows8) else "group_scales": matrix.scales,
        "bias": bias,
        "out": out,
        "tokens": tokens,
        "channels": channels,
        "rows": rows,
    }
