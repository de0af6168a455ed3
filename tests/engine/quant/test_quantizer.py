"""How near the quantizer comes, against the bounds of rate-distortion theory and against plain rounding."""

import pytest
import torch

from engine.quant import scales
from engine.quant.quantizer import TwoBit, quantize, quantize_stack
from engine.quant.rotation import random_signs, rotate, rotate_back


def _relative_error(quantized: TwoBit, weight: torch.Tensor) -> float:
    return float((quantized.dequantized() - weight).square().mean() / weight.square().mean())


@pytest.mark.parametrize(("window_bits", "bound", "channels"), [(16, 0.075, 256), (18, 0.072, 128)])
def test_gaussian_weights_lose_little_at_two_bits(window_bits: int, bound: float, channels: int) -> None:
    """Squared error per unit variance; Shannon's bound at 2 bits is 0.0625, a scalar quantizer's 0.1175."""
    weight = torch.randn(channels, 512, generator=torch.Generator().manual_seed(1))

    quantized = quantize(weight, None, window_bits, seed=1)

    assert _relative_error(quantized, weight) <= bound
    assert quantized.bits_per_weight <= 2.04


def test_error_feedback_serves_the_inputs_that_occur() -> None:
    """With correlated inputs the output error is at least a quarter below that of plain encoding."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(128, 256, generator=generator)
    mixing = torch.randn(256, 256, generator=generator) * torch.linspace(0.05, 1, 256)
    inputs = torch.randn(2000, 256, generator=generator) @ mixing
    hessian = inputs.T @ inputs / len(inputs)

    def output_error(quantized: TwoBit) -> float:
        return float((inputs @ (quantized.dequantized() - weight).T).square().mean())

    plain, informed = quantize(weight, None, 16, seed=1), quantize(weight, hessian, 16, seed=1)

    assert output_error(informed) <= 0.75 * output_error(plain)


def test_steps_widen_where_inputs_correlate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors fed forward widen the targets; wider steps lose less than those of plain encoding.

    Nearly all of the inputs lies in 16 directions, as it does in a trained network.
    """
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(2, 128, 256, generator=generator)
    inputs = torch.randn(2000, 16, generator=generator) @ torch.randn(16, 256, generator=generator)
    inputs += 0.1 * torch.randn(2000, 256, generator=generator)
    hessians, signs = (inputs.T @ inputs / len(inputs))[None], random_signs(256, seed=1)

    _, searched = quantize_stack(weights, hessians, signs, 16)
    monkeypatch.setattr(scales, "STRETCHES", (scales.STRETCH,))
    _, plain = quantize_stack(weights, hessians, signs, 16)

    assert float(searched.output_error.sum()) < 0.98 * float(plain.output_error.sum())


def test_without_inputs_to_weigh_by_nothing_is_searched() -> None:
    """Then the width that suits Gaussian weights is known beforehand."""
    assert scales.best_stretch(torch.randn(1, 128, 128), None, None, 16) == scales.STRETCH


def test_the_rotation_keeps_products() -> None:
    """Rotated weights times rotated activations are what the plain ones give."""
    signs = random_signs(256, seed=7)
    x, w = torch.randn(3, 256), torch.randn(5, 256)

    assert torch.allclose(rotate(x, signs) @ rotate(w, signs).T, x @ w.T, atol=1e-4)
    assert torch.allclose(rotate_back(rotate(x, signs), signs), x, atol=1e-5)


def test_the_same_weight_gives_the_same_bytes() -> None:
    """Quantizing is deterministic, whatever the number of threads."""
    weight = torch.randn(128, 128, generator=torch.Generator().manual_seed(4))

    first, second = quantize(weight, None, 16, seed=3), quantize(weight, None, 16, seed=3)

    assert torch.equal(first.codes, second.codes)
    assert torch.equal(first.scales, second.scales)
