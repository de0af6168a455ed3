"""Segments as tensors: the same numbers as in the plain numpy of the format."""

import numpy as np
import pytest
import torch

from engine.format import code
from engine.format.layout import WINDOW_BITS
from engine.kernels.cuda.support import device_fault
from engine.quant import segments, viterbi

DRAW = np.random.default_rng(3)


def test_targets_are_rounded_and_cut_as_the_oracle_does() -> None:
    """Halves go to even numbers, and what is too large to the largest."""
    weights = np.array([[[0.125, -0.375, 99.0, -99.0]]], np.float32)

    found = segments.targets_of(torch.from_numpy(weights))

    assert np.array_equal(found.numpy(), viterbi.as_targets(weights))


@pytest.mark.parametrize("window_bits", WINDOW_BITS)
def test_bytes_decode_to_the_values_of_the_format(window_bits: int) -> None:
    """The first channels too, whose windows reach round to the last."""
    codes = DRAW.integers(0, 256, (3, 128), np.uint8)

    found = segments.decode(torch.from_numpy(codes), window_bits)

    expected = code.decode(codes[None], window_bits).reshape(128, 3, 4).transpose(1, 0, 2)
    assert np.array_equal(found.numpy(), expected)


def test_a_tensor_is_encoded_to_the_bytes_of_the_oracle() -> None:
    """Whatever searches on this machine."""
    targets = viterbi.as_targets(DRAW.standard_normal((2, 128, 4), np.float32) * np.float32(6.5))

    found = segments.encode(torch.from_numpy(targets).to(segments.search_device()), 16)

    assert np.array_equal(found.cpu().numpy(), viterbi.encode(targets, 16))


def test_the_search_goes_to_a_gpu_only_where_one_can_be_used() -> None:
    """Without one, or with one that the kernels cannot use, the processor searches."""
    assert segments.search_device().type == ("cpu" if device_fault(0) else "cuda")
