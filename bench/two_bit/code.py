"""Compares value generators of the 2-bit code: distortion on Gaussian data at the same bytes.

    python -m bench.two_bit.code [--rows 96]

Every generator gets the same encoder (the exact search), data and step widths; the bound is Shannon's.
Wide values are searched at a coarser grain, so that their targets fit a byte as well.
"""

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.host import print_host
from engine.format.code import hashed
from engine.format.layout import SEGMENT
from engine.kernels.cpu import _native

Words = npt.NDArray[np.uint32]
TARGET_STEPS = 4
LARGEST_TARGET = 127
REACH = 3.9
"""Standard deviations that a target must be able to express."""

STRETCHES = (0.98, 1.0, 1.02, 1.04, 1.06, 1.08)


def turned(word: Words) -> Words:
    """Rotate 32-bit words by 16 bits."""
    return (word << np.uint32(16)) | (word >> np.uint32(16))


def masked(words: list[Words], mask: int) -> npt.NDArray[np.uint8]:
    """Sum the masked bytes of hash words: `[W] -> [W, 4]`."""
    total = sum((word & np.uint32(mask) for word in words), np.zeros_like(words[0]))
    return total.astype("<u4")[:, None].view(np.uint8)


def three_words(window: Words) -> npt.NDArray[np.uint8]:
    """Three hash words of 6-bit bytes, 0..189."""
    t = window * np.uint32(0x03459A6D) + np.uint32(0xE576965D)
    y = turned(t) * np.uint32(0x7CC462B1) + t
    z = turned(y) * np.uint32(0xD3809EFD) + t
    return masked([t, y, z], 0x3F3F3F3F)


def two_words(window: Words) -> npt.NDArray[np.uint8]:
    """Two hash words of 7-bit bytes, 0..254."""
    t = window * np.uint32(0x03459A6D) + np.uint32(0xE576965D)
    y = turned(t) * np.uint32(0x7CC462B1) + t
    return masked([t, y], 0x7F7F7F7F)


GENERATORS: dict[str, Callable[[Words], npt.NDArray[np.uint8]]] = {
    "three words (e13)": three_words,
    "two words (e12)": two_words,
    "nibbles (ours)": hashed,
}


def distortion(values: npt.NDArray[np.uint8], data: npt.NDArray[np.float64], window_bits: int) -> float:
    """Least squared error over the step widths, each channel with its best scale."""
    centre = round(float(values.mean()))
    spread = float(values.std())
    steps = TARGET_STEPS if spread * REACH * TARGET_STEPS < LARGEST_TARGET else 1
    narrow = min(1.0, LARGEST_TARGET / (spread * REACH * steps))
    errors = []
    for stretch in STRETCHES:
        wanted = np.clip(
            np.rint(data * spread / stretch * steps * narrow), -LARGEST_TARGET, LARGEST_TARGET
        ).astype(np.int8)
        errors.append(_error(values, data, wanted, (centre, steps, window_bits, narrow)))
    return min(errors)


def _error(
    values: npt.NDArray[np.uint8],
    data: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.int8],
    how: tuple[int, int, int, float],
) -> float:
    centre, steps, window_bits, narrow = how
    searched = values if narrow == 1.0 else np.rint(values * narrow).astype(np.uint8)
    codes = np.empty(wanted.shape[:2], np.uint8)
    _native.encode(
        searched,
        wanted,
        codes,
        window_bits=window_bits,
        centre=round(centre * narrow),
        target_steps=steps,
        beam=1 << (window_bits - 8),
        threads=2,
        portable=False,
    )
    wide = codes.astype(np.uint32)
    window = wide | np.roll(wide, 1, 1) << np.uint32(8) | np.roll(wide, 2, 1) << np.uint32(16)
    decoded = values[window & np.uint32((1 << window_bits) - 1)].astype(np.float64) - values.mean()
    scale = (data * decoded).sum() / (decoded**2).sum()
    return float(((data - scale * decoded) ** 2).mean())


def main() -> None:
    """Print a table of distortions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96, help="segments of 512 weights")
    arguments = parser.parse_args()
    print_host()
    data = np.random.default_rng(2).standard_normal((arguments.rows, SEGMENT, 4))
    data /= data.std()
    for window_bits in (16, 18):
        every = np.arange(1 << window_bits, dtype=np.uint32)
        for name, generator in GENERATORS.items():
            error = distortion(generator(every), data, window_bits)
            print(f"L = {window_bits}  {name:20} {error:.4f}  {error / 0.0625:.3f} x the bound")


if __name__ == "__main__":
    main()
