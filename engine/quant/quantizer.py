"""From weight matrices to the 2-bit code: rotate, scale, and encode four input rows at a time.

E matrices of a stack, N output channels, K input rows, Q = K/4 steps
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.quant.code import check_shape, decode
from engine.quant.hessian import damped
from engine.quant.layout import SPREAD
from engine.quant.ldlq import Told, encode_rows, feedback_of
from engine.quant.rotation import check_rows, random_signs, rotate, rotate_back

TINY = 1e-12
"""Keeps a channel of zeros from dividing by zero."""


@dataclass(frozen=True)
class TwoBit:
    """A weight `[N, K]` in 2 bits: bytes `[N/128, Q, 128]`, fp16 scales `[N]`, int8 signs `[K]`."""

    codes: Tensor
    scales: Tensor
    signs: Tensor
    window_bits: int

    @property
    def bits_per_weight(self) -> float:
        """All in: codes and scales; the signs are shared by a whole layer."""
        bits = 8 * self.codes.numel() + 16 * self.scales.numel()
        return bits / (self.scales.numel() * self.signs.numel())

    def rotated(self) -> Tensor:
        """The decoded weight `[N, K]` fp32 in the rotated basis, where activations are `rotate(x, signs)`."""
        values = torch.from_numpy(decode(self.codes.numpy(), self.window_bits))
        return values.float() * self.scales.float()[:, None]

    def dequantized(self) -> Tensor:
        """The decoded weight `[N, K]` fp32 in the original basis."""
        return rotate_back(self.rotated(), self.signs)


@dataclass(frozen=True)
class Losses:
    """What encoding cost each channel, `[E, N]` each: squared errors, and the squares they compare with.

    `output` is under the Hessian: the expected square of a channel's output.
    """

    weight_error: Tensor
    weight: Tensor
    output_error: Tensor
    output: Tensor


@dataclass(frozen=True)
class TwoBitStack:
    """Weights `[E, N, K]` of the experts of a layer: bytes `[E, N/128, Q, 128]`, fp16 scales `[E, N]`.

    They share the int8 signs `[K]`.
    """

    codes: Tensor
    scales: Tensor
    signs: Tensor
    window_bits: int

    def __getitem__(self, expert: int) -> TwoBit:
        """One expert's matrix."""
        return TwoBit(self.codes[expert], self.scales[expert], self.signs, self.window_bits)


def quantize_stack(
    weights: Tensor, hessians: Tensor | None, signs: Tensor, window_bits: int, told: Told | None = None
) -> tuple[TwoBitStack, Losses]:
    """Encode `[E, N, K]`; `hessians` are the means of x x^T over the inputs, None weighs all inputs alike.

    `[E, K, K]`, or `[1, K, K]` where all matrices see the same inputs. The signs are those of `random_signs`.
    Raises ValueError where the shape does not fit the code.
    """
    count, channels, rows = weights.shape
    check_shape(channels, rows)
    check_rows(rows)
    wanted = rotate(weights.float(), signs)
    basis = None if hessians is None else torch.stack([_rotated(each, signs) for each in hessians])
    feedback = None if basis is None else torch.stack([feedback_of(each) for each in basis])
    steps = (wanted.square().mean(-1, keepdim=True).sqrt() / SPREAD).clamp(min=TINY)
    codes = encode_rows(wanted / steps, feedback, window_bits, told)
    del feedback, steps
    flat = torch.from_numpy(decode(codes.reshape(-1, *codes.shape[2:]), window_bits))
    scales, losses = _fit(wanted, flat.reshape(count, channels, rows).float(), basis)
    return TwoBitStack(torch.from_numpy(codes), scales, signs, window_bits), losses


def quantize(weight: Tensor, hessian: Tensor | None, window_bits: int, seed: int) -> TwoBit:
    """Encode a single matrix `[N, K]` as `quantize_stack` does; `hessian` is `[K, K]`."""
    hessians = None if hessian is None else hessian[None]
    signs = random_signs(weight.shape[1], seed)
    return quantize_stack(weight[None], hessians, signs, window_bits)[0][0]


def _rotated(hessian: Tensor, signs: Tensor) -> Tensor:
    once = rotate(hessian.float(), signs)
    return damped(rotate(once.T.contiguous(), signs))


def _fit(wanted: Tensor, values: Tensor, basis: Tensor | None) -> tuple[Tensor, Losses]:
    """The scales `[E, N]` in fp16 that serve the outputs best, and what is then lost."""
    shaped = values if basis is None else values @ basis
    cross, power = (wanted * shaped).sum(-1), (values * shaped).sum(-1)
    scales = (cross / power.clamp(min=TINY)).half()
    wide = scales.float()
    output = wanted.square().sum(-1) if basis is None else (wanted * (wanted @ basis)).sum(-1)
    output_error = output - 2 * wide * cross + wide.square() * power
    weight_error = (wanted - wide[..., None] * values).square().sum(-1)
    return scales, Losses(weight_error, wanted.square().sum(-1), output_error, output)
