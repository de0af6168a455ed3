"""The CUDA products with 8- and 4-bit weights, run on the CPU: the bits of the reference."""

import pytest
import torch
from torch import Tensor

from engine.format.activations import multiply, quantize_activations
from engine.kernels.cuda.handles import Groups4, Rows8
from engine.kernels.cuda.linear import linear
from engine.kernels.cuda.linear_gemm import linear_gemm
from engine.quant.groups import decode_groups, encode_groups
from engine.quant.rows import encode_rows
from tests.engine.kernels.cuda_shim.launcher import OnShim

pytestmark = pytest.mark.slow


def numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def product(
    matrix: Rows8 | Groups4, shape: tuple[int, int], x: Tensor, bias: Tensor | None, *, many: bool
) -> Tensor:
    """The product with a weight of `shape` `[N, K]`, by one of the two kernels."""
    channels, rows = shape
    out = torch.empty(len(x), channels, dtype=x.dtype)
    (linear_gemm if many else linear)(matrix, quantize_activations(x), rows, bias, out)
    return out


@pytest.mark.parametrize("tokens", [1, 7, 8, 9])
@pytest.mark.parametrize(
    ("channels", "rows"),
    [(128, 256), (33, 2560), (100, 588), (31, 48), (5, 37)],
    ids=["whole", "wide", "unaligned patches", "less than a block", "neither"],
)
def test_an_eight_bit_product_is_the_reference_bit_for_bit(
    launcher: OnShim, tokens: int, channels: int, rows: int
) -> None:
    """Any shape, and more tokens than a thread block holds."""
    codes, scales = encode_rows(numbers(channels, channels, rows))
    x, bias = numbers(rows, tokens, rows), numbers(1, channels)

    found = product(Rows8(launcher, codes, scales), (len(codes), codes.shape[1]), x, bias, many=False)

    assert torch.equal(found, multiply(codes, None, quantize_activations(x)) * scales + bias)


@pytest.mark.parametrize("tokens", [1, 9])
@pytest.mark.parametrize("many", [False, True])
def test_an_eight_bit_product_at_its_extremes_is_exact(launcher: OnShim, tokens: int, many: bool) -> None:
    """Every product at its largest, of either sign."""
    codes = torch.full((128, 256), 127, dtype=torch.int8)
    codes[::2] = -127
    x = torch.ones(tokens, 256)
    x[0] = -1

    found = product(Rows8(launcher, codes, torch.ones(128)), (len(codes), codes.shape[1]), x, None, many=many)

    assert torch.equal(found, multiply(codes, None, quantize_activations(x)))


@pytest.mark.parametrize("tokens", [1, 7, 8, 9])
@pytest.mark.parametrize(("channels", "rows"), [(128, 128), (200, 384), (1, 1280)], ids=str)
def test_a_four_bit_product_is_the_reference_bit_for_bit(
    launcher: OnShim, tokens: int, channels: int, rows: int
) -> None:
    """Any number of channels, the last tile padded."""
    four_bits(launcher, tokens, channels, rows, many=False)


def four_bits(launcher: OnShim, tokens: int, channels: int, rows: int, *, many: bool) -> None:
    """Compare one of the two kernels with the reference."""
    codes, scales = encode_groups(numbers(channels, channels, rows))
    x, bias = numbers(rows, tokens, rows), numbers(1, channels)
    matrix = Groups4(launcher, codes, scales, channels)

    found = product(matrix, (channels, rows), x, bias, many=many)

    values = decode_groups(codes, torch.ones_like(scales), channels)
    by_channel = scales.float().transpose(1, 2).flatten(0, 1)[:channels]
    assert torch.equal(found, multiply(values, by_channel, quantize_activations(x)) + bias)


@pytest.mark.parametrize(
    ("tokens", "channels", "rows"),
    [(9, 100, 588), (17, 130, 272), (127, 128, 256), (128, 33, 128), (129, 5, 37)],
    ids=["patches", "a part of a tile and of a block", "one less", "a whole block", "one more"],
)
def test_many_tokens_by_eight_bits_are_the_reference_bit_for_bit(
    launcher: OnShim, tokens: int, channels: int, rows: int
) -> None:
    """On the tensor cores, aligned or not."""
    codes, scales = encode_rows(numbers(channels, channels, rows))
    x, bias = numbers(rows, tokens, rows), numbers(1, channels)

    found = product(Rows8(launcher, codes, scales), (len(codes), codes.shape[1]), x, bias, many=True)

    assert torch.equal(found, multiply(codes, None, quantize_activations(x)) * scales + bias)


@pytest.mark.parametrize(
    ("tokens", "channels", "rows"), [(9, 200, 384), (127, 128, 128), (129, 1, 640)], ids=str
)
def test_many_tokens_by_four_bits_are_the_reference_bit_for_bit(
    launcher: OnShim, tokens: int, channels: int, rows: int
) -> None:
    """Each half of a block has scales of its own."""
    four_bits(launcher, tokens, channels, rows, many=True)


@pytest.mark.parametrize("element", [torch.bfloat16, torch.float16], ids=str)
def test_a_product_is_rounded_once_to_the_type_of_the_hidden_states(
    launcher: OnShim, element: torch.dtype
) -> None:
    """The bias is added before."""
    codes, scales = encode_rows(numbers(0, 40, 128))
    x, bias = numbers(1, 2, 128).to(element), numbers(2, 40)

    found = product(Rows8(launcher, codes, scales), (40, 128), x, bias, many=False)

    quantized = quantize_activations(x)
    assert torch.equal(found, (multiply(codes, None, quantized) * scales + bias).to(element))
