"""From weight matrices to the 2-bit code: rotate, scale, and encode four input rows at a time.

E matrices of a stack, N output channels, K input rows, Q = K/4 steps
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.format.code import check_shape, decode
from engine.quant.hessian import damped
from engine.quant.ldlq import OnEncoded, encode_rows, feedback_of
from engine.quant.rotation import check_rows, random_signs, rotate, rotate_back
from engine.quant.scales import Losses, best_stretch, decoded, fit, steps_of


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
    weights: Tensor,
    hessians: Tensor | None,
    signs: Tensor,
    window_bits: int,
    on_encoded: OnEncoded | None = None,
) -> tuple[TwoBitStack, Losses]:
    """Encode `[E, N, K]`; `hessians` are the means of x x^T over the inputs, None weighs all inputs alike.

    `[E, K, K]`, or `[1, K, K]` where all matrices see the same inputs. The signs are those of `random_signs`.
    Raises ValueError where the shape does not fit the code.
    """
    _, channels, rows = weights.shape
    check_shape(channels, rows)
    check_rows(rows)
    wanted = rotate(weights.float(), signs)
    basis = None if hessians is None else torch.stack([_rotated(each, signs) for each in hessians])
    feedback = None if basis is None else torch.stack([feedback_of(each) for each in basis])
    steps = steps_of(wanted) * best_stretch(wanted, feedback, basis, window_bits)
    codes = torch.from_numpy(encode_rows(wanted / steps, feedback, window_bits, on_encoded))
    del feedback, steps
    scales, losses = fit(wanted, decoded(codes, window_bits), basis)
    return TwoBitStack(codes, scales, signs, window_bits), losses


def quantize(weight: Tensor, hessian: Tensor | None, window_bits: int, seed: int) -> TwoBit:
    """Encode a single matrix `[N, K]` as `quantize_stack` does; `hessian` is `[K, K]`."""
    hessians = None if hessian is None else hessian[None]
    signs = random_signs(weight.shape[1], seed)
    return quantize_stack(weight[None], hessians, signs, window_bits)[0][0]


def _rotated(hessian: Tensor, signs: Tensor) -> Tensor:
    once = rotate(hessian.float(), signs)
    return damped(rotate(once.T.contiguous(), signs))
