"""What the code's window, the beam and the search for step widths bring, on Gaussian data and on the starter.

    python -m bench.two_bit.windows PICTURES [--segments 64]

Distortion is the squared error on N(0,1) at 2 bits; the bound is 0.0625. Time is that of the search alone on
one thread, relative to L = 16. The starter's figure is the squared error of the outputs of its routed
experts, as a share of the outputs' squares, with steps as wide as plain encoding wants and with steps that
were searched.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.host import print_host
from bench.two_bit.variants import Original, calibration
from engine.format.code import hashed, windows
from engine.format.layout import CENTRE, SEGMENT, SPREAD
from engine.quant import scales
from engine.quant.encoder import encode
from engine.quant.quantizer import quantize_stack
from engine.quant.rotation import random_signs
from engine.quant.viterbi import as_targets, states_followed

SEARCHES = ((16, 64), (16, 256), (18, 256), (18, 1024), (20, 256), (20, 1024), (20, 4096))
"""Windows, and how many states are followed at each byte."""

CALIBRATION = 96
EXPERTS = 2


def gaussian(segments: int, window_bits: int, beam: int) -> tuple[float, float]:
    """Distortion, and seconds of processor time."""
    data = np.random.default_rng(5).standard_normal((segments, SEGMENT, 4)).astype(np.float32)
    data /= data.std()
    targets = as_targets(data * np.float32(SPREAD / scales.STRETCH))
    encode(targets[:1], window_bits, beam, threads=1)
    start = time.process_time()
    codes = encode(targets, window_bits, beam, threads=1)
    spent = time.process_time() - start
    values = hashed(windows(codes, window_bits)).astype(np.float32) - CENTRE
    scale = (data * values).sum() / (values * values).sum()
    return float(((data - scale * values) ** 2).mean()), spent


def stacks(pictures: Path, checkpoint: Path) -> list[tuple[Tensor, Tensor]]:
    """A few experts of each layer and modality of the starter, with the Hessians of their inputs."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(weights: Tensor, hessians: Tensor) -> Tensor:
        found.append((weights[:EXPERTS], hessians[:EXPERTS]))
        return weights

    with tempfile.TemporaryDirectory() as work:
        original = Original.read(checkpoint, calibration(pictures, CALIBRATION))
        original.write(Path(work) / "same", keep)
    return found


def output_error(found: Sequence[tuple[Tensor, Tensor]], window_bits: int, *, searched: bool) -> float:
    """Of the experts' outputs, as a share of their squares; the mean over the stacks."""
    every, shares = scales.STRETCHES, []
    scales.STRETCHES = every if searched else (scales.STRETCH,)
    for weights, hessians in found:
        signs = random_signs(weights.shape[2], 1)
        _, losses = quantize_stack(weights, hessians, signs, window_bits)
        shares.append(float(losses.output_error.sum() / losses.output.sum()))
    scales.STRETCHES = every
    return sum(shares) / len(shares)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=Path("models/starter"))
    parser.add_argument("--segments", type=int, default=64, help="of 512 Gaussian weights")
    arguments = parser.parse_args()
    print_host()
    torch.set_num_threads(1)
    found = stacks(arguments.pictures, arguments.checkpoint)
    _, least = gaussian(arguments.segments, 16, 256)
    for window_bits, beam in SEARCHES:
        error, spent = gaussian(arguments.segments, window_bits, beam)
        line = f"L = {window_bits}  {beam:4} states  distortion {error:.4f}  time x {spent / least:5.2f}"
        if beam == states_followed(window_bits, None):
            plain, best = (output_error(found, window_bits, searched=each) for each in (False, True))
            line += f"  outputs lose {plain:.3%}, steps searched {best:.3%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
