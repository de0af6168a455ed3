"""The 2-bit code in plain numpy: the oracle of every kernel.

N output channels, K input rows, Q = K/4 bytes a channel
"""

import numpy as np
import numpy.typing as npt

from engine.format.layout import CENTRE, FOLD, MULTIPLIER, NIBBLES, ROWS_PER_BYTE, SEGMENT

Codes = npt.NDArray[np.uint8]
"""[N/128, Q, 128], the stored order."""

Values = npt.NDArray[np.int8]
"""Decoded integers -15..15, [N, K]."""


def hashed(window: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """The four values 0..30 of each window: `[...] -> [..., 4]`."""
    product = window * np.uint32(MULTIPLIER)
    folded = product ^ (product >> np.uint32(FOLD))
    nibbles = np.uint32(NIBBLES)
    total = (folded & nibbles) + ((folded >> np.uint32(4)) & nibbles)
    return np.ascontiguousarray(total.astype("<u4"))[..., None].view(np.uint8)


def table(window_bits: int) -> npt.NDArray[np.uint8]:
    """The values of all windows, `[2^window_bits, 4]`: what an encoder searches."""
    return hashed(np.arange(1 << window_bits, dtype=np.uint32))


def windows(codes: Codes, window_bits: int) -> npt.NDArray[np.uint32]:
    """The shift register at each byte; the last axis is the segment, and it bites its own tail."""
    newest = codes.astype(np.uint32)
    older = np.roll(newest, 1, axis=-1) << np.uint32(8)
    oldest = np.roll(newest, 2, axis=-1) << np.uint32(16)
    return (newest | older | oldest) & np.uint32((1 << window_bits) - 1)


def decode(codes: Codes, window_bits: int) -> Values:
    """Integers -15..15 `[N, K]` of bytes `[N/128, Q, 128]`; a weight is its channel's scale times this."""
    values = hashed(windows(codes, window_bits)).astype(np.int8) - np.int8(CENTRE)
    tiles, quads, segment, rows = values.shape
    return values.transpose(0, 2, 1, 3).reshape(tiles * segment, quads * rows)


def check_shape(channels: int, rows: int) -> None:
    """Raise ValueError unless a weight `[channels, rows]` fits the code."""
    if channels % SEGMENT or rows % ROWS_PER_BYTE:
        raise ValueError(
            f"a weight of {channels} x {rows} does not fit the 2-bit code: "
            f"output channels must be a multiple of {SEGMENT}, input rows of {ROWS_PER_BYTE}"
        )
