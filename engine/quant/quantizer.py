"""From a weight matrix to the 2-bit code: rotate, scale, and encode four input rows at a time.

N output channels, K input rows, Q = K/4 steps
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.quant.code import check_shape, decode
from engine.quant.encoder import encode
from engine.quant.layout import ROWS_PER_BYTE, SEGMENT, SPREAD
from engine.quant.rotation import random_signs, rotate, rotate_back
from engine.quant.viterbi import as_targets

STRETCH = 1.04
"""How much larger a step is than the code's spread asks for: 2 bits reach the middle of a Gaussian best."""

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a share of its mean, so that inputs never seen do no harm."""


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


def quantize(weight: Tensor, hessian: Tensor | None, window_bits: int, seed: int) -> TwoBit:
    """Encode `[N, K]`; `hessian` `[K, K]` is the mean of x x^T over inputs, None weighs all inputs alike.

    LDLQ (Chee et al. 2023) in blocks of four rows: the error of the rows done is fed into the next.
    Raises ValueError where the shape does not fit the code.
    """
    check_shape(*weight.shape)
    signs = random_signs(weight.shape[1], seed)
    wanted = rotate(weight.float(), signs)
    scales = wanted.square().mean(1).sqrt().clamp(min=1e-12) / SPREAD
    feedback = None if hessian is None else _feedback(_rotated_hessian(hessian, signs))
    codes = _encode_rows(wanted / scales[:, None], feedback, window_bits)
    values = torch.from_numpy(decode(codes, window_bits)).float()
    weighted = values if hessian is None else values @ _rotated_hessian(hessian, signs)
    best = (wanted * weighted).sum(1) / (values * weighted).sum(1).clamp(min=1e-12)
    return TwoBit(torch.from_numpy(codes), best.half(), signs, window_bits)


def _rotated_hessian(hessian: Tensor, signs: Tensor) -> Tensor:
    once = rotate(hessian.float(), signs)
    both = rotate(once.T.contiguous(), signs)
    damping = DAMPING * both.diagonal().mean()
    return both + damping * torch.eye(len(both))


def _feedback(hessian: Tensor) -> Tensor:
    """Strictly block-upper `[K, K]`: how the error of each earlier row moves the target of a later one.

    From H = U D U^T with U unit block-upper, by a Cholesky factor of H read backwards.
    """
    lower = torch.linalg.cholesky(hessian.double().flip(0, 1)).flip(0, 1)
    blocks = torch.stack(lower.split(ROWS_PER_BYTE), 0).unflatten(-1, (-1, ROWS_PER_BYTE)).transpose(1, 2)
    quads = torch.arange(len(blocks))
    inverse = torch.linalg.inv(blocks[quads, quads])
    unit = (blocks @ inverse[None]).transpose(1, 2).reshape(lower.shape)
    return (unit - torch.eye(len(unit), dtype=torch.double)).float()


def _encode_rows(wanted: Tensor, feedback: Tensor | None, window_bits: int) -> npt.NDArray[np.uint8]:
    """Encode `[N, K]`, in steps of the code, four rows at a time: bytes `[N/128, Q, 128]`."""
    channels, rows = wanted.shape
    tiles = channels // SEGMENT
    if feedback is None:
        ordered = (
            wanted.reshape(tiles, SEGMENT, -1, ROWS_PER_BYTE)
            .transpose(1, 2)
            .reshape(-1, SEGMENT, ROWS_PER_BYTE)
        )
        return _search(ordered, window_bits).reshape(tiles, -1, SEGMENT)
    codes = np.empty((tiles, rows // ROWS_PER_BYTE, SEGMENT), np.uint8)
    error = torch.zeros_like(wanted)
    for quad in range(rows // ROWS_PER_BYTE):
        here = slice(quad * ROWS_PER_BYTE, (quad + 1) * ROWS_PER_BYTE)
        target = wanted[:, here] + error[:, : here.start] @ feedback[: here.start, here]
        codes[:, quad] = _search(target.reshape(tiles, SEGMENT, ROWS_PER_BYTE), window_bits)
        values = torch.from_numpy(decode(codes[:, quad : quad + 1], window_bits)).float()
        error[:, here] = wanted[:, here] - values * STRETCH
    return codes


def _search(steps: Tensor, window_bits: int) -> npt.NDArray[np.uint8]:
    return encode(as_targets((steps / STRETCH).numpy()), window_bits)
