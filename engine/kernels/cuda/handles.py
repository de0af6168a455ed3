"""Weights as the kernels take them, with the launcher of the device that they lie on.

T tokens, N output channels, K input rows, E experts, M modalities, H hidden size
"""

from typing import NamedTuple

from torch import Tensor

from engine.kernels.cuda.arguments import Launcher
from engine.kernels.cuda.launches import Sizes


class Rows8(NamedTuple):
    """Codes int8 `[N, K]` and scales fp32 `[N]`."""

    launcher: Launcher
    codes: Tensor
    scales: Tensor


class Groups4(NamedTuple):
    """Nibbles `[N/128, K/8, 128, 4]` and scales fp16 `[N/128, K/64, 128]` of so many channels."""

    launcher: Launcher
    codes: Tensor
    scales: Tensor
    channels: int


class Experts(NamedTuple):
    """Codes `[E, N/128, K/4, 128]`, scales fp16 `[E, N]` and signs int8 `[K]` of both projections."""

    launcher: Launcher
    gate_up: tuple[Tensor, Tensor, Tensor]
    down: tuple[Tensor, Tensor, Tensor]
    window_bits: int

    @property
    def number(self) -> int:
        """How many experts."""
        return len(self.down[0])

    @property
    def sizes(self) -> Sizes:
        """Of one expert."""
        return Sizes(len(self.gate_up[2]), len(self.down[2]))


class Mixture(NamedTuple):
    """Experts of M modalities and their router: weights fp32 `[M E, H]`, correction bias fp32 `[M, E]`."""

    experts: tuple[Experts, ...]
    router: Tensor
    bias: Tensor
    top_k: int
    norm_min: float


def rows8(codes: Tensor, scales: Tensor) -> Rows8:
    """A matrix of int8 codes `[N, K]` and fp32 scales `[N]`, for `linear`."""
    return Rows8(_launcher(codes), codes.contiguous(), scales.float().contiguous())


def groups4(codes: Tensor, scales: Tensor, channels: int) -> Groups4:
    """A matrix of nibbles `[N/128, K/8, 128, 4]` and fp16 scales `[N/128, K/64, 128]`, for `linear`."""
    return Groups4(_launcher(codes), codes.contiguous(), scales.contiguous(), channels)


def hold_experts(
    gate_up: tuple[Tensor, Tensor, Tensor], down: tuple[Tensor, Tensor, Tensor], window_bits: int
) -> Experts:
    """Experts of codes `[E, N/128, K/4, 128]`, fp16 scales `[E, N]` and signs `[K]`, for `run_experts`."""
    return Experts(_launcher(gate_up[0]), gate_up, down, window_bits)


def _launcher(tensor: Tensor) -> Launcher:
    from engine.kernels.cuda import launcher  # noqa: PLC0415 - loads CUDA's libraries

    return launcher.of(tensor.device)
