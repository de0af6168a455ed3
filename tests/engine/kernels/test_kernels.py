"""The compiled kernels against their references, at every level that the processor runs: the same bits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.format import code
from engine.format.activations import multiply, quantize_activations
from engine.format.layout import WINDOW_BITS
from engine.kernels.cpu import ops
from engine.quant.groups import decode_groups, encode_groups
from engine.quant.rotation import random_signs, rotate
from engine.quant.rows import encode_rows

LEVELS = ops.levels()
EXAMPLE = json.loads((Path(__file__).parent.parent / "format" / "example.json").read_text())

tokens = st.integers(1, 20) | st.sampled_from((48, 241, 500))
tiles = st.integers(1, 3)
seeds = st.integers(0, 2**31)


def random_codes(seed: int, *shape: int) -> Tensor:
    """Random bytes, which are valid codes."""
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def random_numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_portable_level_is_always_there_and_comes_last() -> None:
    """Whatever the processor, something runs."""
    assert LEVELS[-1] == "portable"


def test_an_unknown_level_is_refused() -> None:
    """A level that the processor cannot run must not fall back to another in silence."""
    with pytest.raises(ValueError, match="cannot run the level avx1024"):
        ops.decode(random_codes(0, 1, 32, 128), 16, "avx1024")


@pytest.mark.parametrize("level", LEVELS)
def test_the_example_of_the_format_page_decodes_as_written(level: str) -> None:
    """Three neighbouring bytes give the eight values of docs/two_bit_format.md."""
    codes = torch.zeros(1, 32, 128, dtype=torch.uint8)
    codes[0, 5, 40:43] = torch.tensor(EXAMPLE["bytes"], dtype=torch.uint8)

    values = ops.decode(codes, 16, level)

    assert values[0, 5, 41:43].flatten().tolist() == EXAMPLE["values"]


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, wide=tiles, deep=tiles, window_bits=st.sampled_from(WINDOW_BITS))
def test_decoding_is_the_reference_bit_for_bit(
    level: str, seed: int, wide: int, deep: int, window_bits: int
) -> None:
    """All bytes of a tile, its first channels too, whose windows bite the tail."""
    codes = random_codes(seed, wide, 32 * deep, 128)

    assert np.array_equal(
        ops.decode(codes, window_bits, level).numpy(), code.hashed(code.windows(codes.numpy(), window_bits))
    )


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=st.integers(1, 9), blocks=tiles, turned=st.booleans(), size=st.floats(1e-3, 1e3))
def test_quantizing_is_the_reference_bit_for_bit(
    level: str, seed: int, count: int, blocks: int, turned: bool, size: float
) -> None:
    """Values and scales, rotated and not."""
    x = random_numbers(seed, count, 128 * blocks) * size
    signs = random_signs(128 * blocks, seed) if turned else None

    values, scales = ops.quantize(x, signs, level)
    expected = quantize_activations(x, signs)

    assert torch.equal(values, expected.values.flatten(1))
    assert torch.equal(scales, expected.scales)


def test_quantized_activations_are_the_rotated_ones() -> None:
    """Half a step is the most that a value moves."""
    x, signs = random_numbers(3, 5, 256), random_signs(256, 3)

    values, scales = quantize_activations(x, signs)
    error = (values * scales[..., None]).flatten(1) - rotate(x, signs)

    assert (error.unflatten(1, (2, 128)).abs() <= scales[..., None] * 0.501).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_shows_in_the_scale(level: str, bad: float) -> None:
    """An overflow must reach the logits, where it is noticed, and not be rounded away."""
    x = torch.ones(1, 256)
    x[0, 200] = bad

    scales = ops.quantize(x, None, level)[1]

    assert torch.isfinite(scales[0, 0])
    assert not torch.isfinite(scales[0, 1])


@pytest.mark.parametrize("level", LEVELS)
def test_a_block_of_zeros_stays_zero(level: str) -> None:
    """Neither nothing nor next to nothing divides by zero."""
    x = torch.zeros(2, 128)
    x[1] = 1e-38

    values, scales = ops.quantize(x, None, level)

    assert not values.any()
    assert torch.isfinite(scales).all()


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=tokens, wide=tiles, deep=tiles, window_bits=st.sampled_from(WINDOW_BITS))
def test_a_two_bit_product_is_the_reference_bit_for_bit(
    level: str, seed: int, count: int, wide: int, deep: int, window_bits: int
) -> None:
    """One token to many, on the paths that decode as they multiply and those that decode a tile first."""
    channels, rows = 128 * wide, 128 * deep
    codes = random_codes(seed, wide, rows // 4, 128)
    scales = random_numbers(seed, channels).half()
    x, signs = random_numbers(seed + 1, count, rows), random_signs(rows, seed)

    expected = multiply(
        torch.from_numpy(code.decode(codes.numpy(), window_bits)), None, quantize_activations(x, signs)
    )
    found = ops.linear(ops.two_bit(codes, scales, window_bits), channels, x, signs, level=level)

    assert torch.equal(found, expected * scales.float())


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=tokens, channels=st.integers(1, 300), rows=st.integers(1, 300), biased=st.booleans())
def test_an_eight_bit_product_is_the_reference_bit_for_bit(
    level: str, seed: int, count: int, channels: int, rows: int, biased: bool
) -> None:
    """Any shape, whole tiles and blocks or not."""
    codes, scales = encode_rows(random_numbers(seed, channels, rows))
    x = random_numbers(seed + 1, count, rows)
    bias = random_numbers(seed + 2, channels) if biased else None

    expected = multiply(codes, None, quantize_activations(x)) * scales
    found = ops.linear(ops.rows8(codes, scales), channels, x, bias=bias, level=level)

    assert torch.equal(found, expected if bias is None else expected + bias)


@pytest.mark.parametrize("level", LEVELS)
def test_an_eight_bit_product_at_its_extremes_does_not_overflow(level: str) -> None:
    """Every product at its largest, of either sign: where sums of pairs in 16 bits would saturate."""
    codes = torch.full((128, 256), 127, dtype=torch.int8)
    codes[::2] = -127
    x = torch.ones(3, 256)
    x[1] = -1

    found = ops.linear(ops.rows8(codes, torch.ones(128)), 128, x, level=level)

    assert torch.equal(found, multiply(codes, None, quantize_activations(x)))


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=tokens, channels=st.integers(1, 300), deep=tiles)
def test_a_four_bit_product_is_the_reference_bit_for_bit(
    level: str, seed: int, count: int, channels: int, deep: int
) -> None:
    """Any number of channels, the last tile padded."""
    codes, scales = encode_groups(random_numbers(seed, channels, 128 * deep))
    x = random_numbers(seed + 1, count, 128 * deep)

    values = decode_groups(codes, torch.ones_like(scales), channels)
    by_channel = scales.float().transpose(1, 2).flatten(0, 1)[:channels]
    found = ops.linear(ops.groups4(codes, scales, channels), channels, x, level=level)

    assert torch.equal(found, multiply(values, by_channel, quantize_activations(x)))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    """Tiles are computed by whoever takes them."""
    codes, scales = encode_rows(random_numbers(1, 700, 256))
    x, matrix = random_numbers(2, 30, 256), ops.rows8(codes, scales)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = ops.linear(matrix, 700, x)
    finally:
        torch.set_num_threads(before)

    assert torch.equal(found, multiply(codes, None, quantize_activations(x)) * scales)


def test_arrays_that_do_not_fit_are_refused() -> None:
    """A wrong shape is an error, not a read beyond the array."""
    codes, scales = random_codes(0, 2, 32, 128), torch.ones(128).half()

    with pytest.raises(ValueError, match=r"scales must be \[N\]"):
        ops.two_bit(codes, scales, 16)
    with pytest.raises(ValueError, match="multiple of 128"):
        ops.two_bit(codes[:, :20].contiguous(), torch.ones(256).half(), 16)
