"""The CUDA kernels that turn activations into int8, run on the CPU: the bits of the reference."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from engine.format.activations import quantize_activations
from engine.kernels.cuda.quantize import quantize, swiglu_quantize
from engine.quant.rotation import random_signs
from tests.engine.kernels.cuda_shim.launcher import OnShim

pytestmark = pytest.mark.slow

ELEMENTS = (torch.float32, torch.bfloat16, torch.float16)


def numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize(("tokens", "rows"), [(1, 2560), (7, 384), (9, 128)], ids=str)
def test_rotated_activations_are_the_reference_bit_for_bit(
    launcher: OnShim, element: torch.dtype, tokens: int, rows: int
) -> None:
    """Values and scales of every type that hidden states have."""
    x, signs = (numbers(rows, tokens, rows) * 3).to(element), random_signs(rows, 1)

    found, expected = quantize(launcher, x, signs), quantize_activations(x, signs)

    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.scales, expected.scales)


@pytest.mark.parametrize("rows", [128, 130, 588])
def test_a_block_that_ends_early_is_padded_with_zeros(launcher: OnShim, rows: int) -> None:
    """Patches of an image are no whole blocks."""
    x = numbers(rows, 3, rows)

    found, expected = quantize(launcher, x), quantize_activations(x)

    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.scales, expected.scales)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("turned", [True, False])
def test_a_number_that_is_none_shows_in_the_scale(launcher: OnShim, bad: float, turned: bool) -> None:
    """An overflow must reach the logits, where it is noticed, and not be rounded away."""
    x = torch.ones(1, 256)
    x[0, 200] = bad

    scales = quantize(launcher, x, random_signs(256, 0) if turned else None).scales

    assert torch.isfinite(scales[0, 0])
    assert not torch.isfinite(scales[0, 1])


def test_a_block_of_zeros_stays_zero(launcher: OnShim) -> None:
    """Neither nothing nor next to nothing divides by zero."""
    x = torch.zeros(2, 128)
    x[1] = 1e-38

    found = quantize(launcher, x)

    assert not found.values.any()
    assert torch.isfinite(found.scales).all()


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("turned", [True, False])
def test_the_fused_swiglu_rounds_what_the_reference_rounds(
    launcher: OnShim, element: torch.dtype, turned: bool
) -> None:
    """The exponential is a polynomial, good to two units in the last place: a value may be one step off."""
    gate, up = ((numbers(seed, 5, 384) * 4).to(element) for seed in (3, 4))
    signs = random_signs(384, 3) if turned else None

    found = swiglu_quantize(launcher, gate, up, signs)

    expected = quantize_activations(silu(gate.float()) * up.float(), signs)
    assert (found.values.int() - expected.values).abs().max() <= 1
    torch.testing.assert_close(found.scales, expected.scales)


def test_swiglu_at_its_ends_is_what_it_tends_to(launcher: OnShim) -> None:
    """Far on the left nothing, far on the right the product, without an overflow between."""
    gate = torch.tensor([-1e30, -100.0, 100.0, 1e30]).repeat_interleave(32)

    found = swiglu_quantize(launcher, gate[None], torch.ones(1, 128))

    assert not found.values[0, 0, :96].any()
    assert (found.values[0, 0, 96:] == 127).all()
