"""LDLQ: encodes the input rows in order and feeds the error of those done into the next (Chee et al. 2023).

E matrices that are encoded side by side, N output channels, K input rows, Q = K/4 steps
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.format.layout import ROWS_PER_BYTE, SEGMENT
from engine.quant.segments import decode, encode, search_device, targets_of

BLOCK = 128
"""Rows whose errors are gathered before one product carries them to all later rows."""

OnEncoded = Callable[[int], None]
"""Told how many more weights are encoded."""


def feedback_of(hessian: Tensor) -> Tensor:
    """Strictly block-upper `[K, K]`: how the error of each earlier row moves the target of a later one.

    From H = U D U^T with U unit block-upper, by a Cholesky factor of H read backwards.
    """
    lower = torch.linalg.cholesky(hessian.double().flip(0, 1)).flip(0, 1)
    blocks = torch.stack(lower.split(ROWS_PER_BYTE), 0).unflatten(-1, (-1, ROWS_PER_BYTE)).transpose(1, 2)
    quads = torch.arange(len(blocks))
    inverse = torch.linalg.inv(blocks[quads, quads])
    unit = (blocks @ inverse[None]).transpose(1, 2).reshape(lower.shape)
    return (unit - torch.eye(len(unit), dtype=torch.double)).float()


def encode_rows(
    wanted: Tensor, feedback: Tensor | None, window_bits: int, on_encoded: OnEncoded | None = None
) -> npt.NDArray[np.uint8]:
    """Encode weights `[E, N, K]`, in steps of the code: bytes `[E, N/128, Q, 128]`.

    `feedback` is `[E, K, K]`, or `[1, K, K]` where all matrices see the same inputs.
    """
    count, channels, rows = wanted.shape
    device = search_device()
    shape = (count, channels // SEGMENT, rows // ROWS_PER_BYTE, SEGMENT)
    codes = torch.empty(shape, dtype=torch.uint8, device=device)
    target, wanted = wanted.to(device, copy=True), wanted.to(device)
    feedback = None if feedback is None else feedback.to(device)
    for start in range(0, rows, BLOCK):
        block = slice(start, min(start + BLOCK, rows))
        within = None if feedback is None else feedback[:, block, block]
        errors = _encode_block(
            target[..., block], wanted[..., block], within, codes[:, :, _quads(block)], window_bits
        )
        if feedback is not None:
            target[..., block.stop :] += errors @ feedback[:, block, block.stop :]
        if on_encoded is not None:
            on_encoded(errors.numel())
    return codes.cpu().numpy()


def _quads(block: slice) -> slice:
    return slice(block.start // ROWS_PER_BYTE, block.stop // ROWS_PER_BYTE)


def _encode_block(
    target: Tensor, wanted: Tensor, feedback: Tensor | None, codes: Tensor, window_bits: int
) -> Tensor:
    """Fill `codes` `[E, N/128, q, 128]` of one block of rows; returns the errors `[E, N, 4q]`."""
    errors = torch.zeros_like(wanted)
    for quad in range(codes.shape[2]):
        here = slice(quad * ROWS_PER_BYTE, (quad + 1) * ROWS_PER_BYTE)
        aim = target[..., here]
        if feedback is not None:
            aim = aim + errors[..., : here.start] @ feedback[:, : here.start, here]
        found = encode(targets_of(aim.reshape(-1, SEGMENT, ROWS_PER_BYTE)), window_bits)
        codes[:, :, quad] = found.unflatten(0, codes.shape[:2])
        errors[..., here] = wanted[..., here] - decode(found, window_bits).float().reshape(aim.shape)
    return errors
