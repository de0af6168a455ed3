"""Products and networks with weights in 8 and 4 bits; the input is rounded once for all that read it.

T tokens, K input rows, N output channels, H hidden size
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import sigmoid

from engine.format.activations import Quantized
from engine.kernels.cuda.handles import Groups4, Rows8
from engine.kernels.cuda.launch import FEW
from engine.kernels.cuda.linear import linear as linear_few
from engine.kernels.cuda.linear_gemm import linear_gemm
from engine.kernels.cuda.quantize import quantize, swiglu_quantize
from engine.kernels.networks import FeedForward

Matrix = Rows8 | Groups4


def linear(matrix: Matrix, channels: int, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """`[T, K] -> [T, N]`."""
    assert x.ndim == 2, f"tokens of shape {tuple(x.shape)}"
    if len(x) == 0:
        return x.new_empty(0, channels)
    return _product(matrix, channels, quantize(matrix.launcher, x), x, bias)


def linears(matrices: Sequence[Matrix], channels: Sequence[int], x: Tensor) -> tuple[Tensor, ...]:
    """`[T, K] -> [T, N]` for each matrix."""
    if len(x) == 0:
        return tuple(x.new_empty(0, count) for count in channels)
    quantized = quantize(matrices[0].launcher, x)
    return tuple(
        _product(matrix, count, quantized, x, None) for matrix, count in zip(matrices, channels, strict=True)
    )


def feed_forward(network: FeedForward, x: Tensor) -> Tensor:
    """`[T, H] -> [T, H]`."""
    gate, up, down, channels, up_bias, down_bias = network
    inner = _channels(up)
    if gate is None:
        x = linear(up, inner, x, up_bias)
        return linear(down, channels, x * sigmoid(1.702 * x), down_bias)
    gates, ups = linears((gate, up), (inner, inner), x)
    if len(x) == 0:
        return x.new_empty(0, channels)
    return _product(down, channels, swiglu_quantize(up.launcher, gates, ups), ups, down_bias)


def _product(matrix: Matrix, channels: int, quantized: Quantized, x: Tensor, bias: Tensor | None) -> Tensor:
    """The product of what `x` `[T, K]` was rounded to, in its type."""
    tokens, rows = x.shape
    out = x.new_empty(tokens, channels)
    wide = None if bias is None else bias.detach().float().contiguous()
    multiply = linear_few if tokens <= FEW[-1] else linear_gemm
    multiply(matrix, quantized, rows, wide, out)
    return out


def _channels(matrix: Matrix) -> int:
    return len(matrix.codes) if isinstance(matrix, Rows8) else matrix.channels
