"""Segments on the device that searches fastest: targets, bytes and values as tensors.

S segments of 128 channels
"""

from functools import cache

import torch
from torch import Tensor

from engine.format.code import table
from engine.format.layout import CENTRE
from engine.kernels.cuda.encode import encode as search
from engine.kernels.cuda.support import device_fault
from engine.quant import encoder
from engine.quant.viterbi import LARGEST_TARGET, TARGET_STEPS, states_followed


@cache
def search_device() -> torch.device:
    """The first GPU where the kernels can use it, else the processor."""
    return torch.device("cpu") if device_fault(0) else torch.device("cuda", 0)


def targets_of(weights: Tensor) -> Tensor:
    """As `viterbi.as_targets`: int8, of weights in steps."""
    return (weights * TARGET_STEPS).round().clamp(-LARGEST_TARGET, LARGEST_TARGET).to(torch.int8)


def encode(targets: Tensor, window_bits: int) -> Tensor:
    """Bytes `[S, 128]` for targets `[S, 128, 4]`, the same ones on every device.

    The GPU's search follows every state; where the usual beam does not, the processor searches.
    """
    if targets.is_cuda and states_followed(window_bits, None) == 1 << (window_bits - 8):
        from engine.kernels.cuda import launcher  # noqa: PLC0415 - loads CUDA's libraries

        return search(launcher.of(targets.device), targets, window_bits, TARGET_STEPS)
    return torch.from_numpy(encoder.encode(targets.cpu().numpy(), window_bits)).to(targets.device)


def decode(codes: Tensor, window_bits: int) -> Tensor:
    """Integers -15..15 `[S, 128, 4]` of bytes `[S, 128]`."""
    newest = codes.int()
    window = newest | newest.roll(1, -1) << 8 | newest.roll(2, -1) << 16
    return _values(window_bits, codes.device)[window & ((1 << window_bits) - 1)]


@cache
def _values(window_bits: int, device: torch.device) -> Tensor:
    return (torch.from_numpy(table(window_bits)).to(torch.int8) - CENTRE).to(device)
