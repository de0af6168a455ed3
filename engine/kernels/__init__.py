"""Compiled kernels for the processor and for GPUs, as functions of torch tensors under the same names."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.kernels import cpu
from engine.kernels.networks import FeedForward, HeldRouter

Matrix = Any
"""What `rows8` and `groups4` make for `linear`; each kind of kernels has its own."""
HeldExperts = Any
"""What `hold_experts` makes for `run_experts`."""
Stack = tuple[Tensor, Tensor, Tensor]
"""Codes `[E, N/128, K/4, 128]`, fp16 scales `[E, N]` and signs `[K]` of a projection of E experts."""


class Kernels(Protocol):
    """T tokens, N output channels, K input rows, E experts, S of them a token."""

    def rows8(self, codes: Tensor, scales: Tensor) -> Matrix:
        """A matrix of int8 codes `[N, K]` and fp32 scales `[N]`."""

    def groups4(self, codes: Tensor, scales: Tensor, channels: int) -> Matrix:
        """A matrix of nibbles `[N/128, K/8, 128, 4]` and fp16 scales `[N/128, K/64, 128]`."""

    def linear(self, matrix: Matrix, channels: int, x: Tensor, *, bias: Tensor | None = None) -> Tensor:
        """`[T, K] -> [T, N]`."""

    def linears(self, matrices: Sequence[Matrix], channels: Sequence[int], x: Tensor) -> tuple[Tensor, ...]:
        """`[T, K] -> [T, N]` for each matrix."""

    def feed_forward(self, network: FeedForward, x: Tensor) -> Tensor:
        """`[T, H] -> [T, H]`."""

    def hold_experts(self, gate_up: Stack, down: Stack, window_bits: int) -> HeldExperts:
        """Experts in 2 bits."""

    def run_experts(self, held: HeldExperts, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """`[T, K] -> [T, K]`: the sum of the experts `chosen` `[T, S]` by their `weights`."""


class FusedKernels(Kernels, Protocol):
    """Kernels that do several steps of a layer in one call, each with the meaning of the separate steps."""

    def route(self, router: HeldRouter, x: Tensor) -> tuple[Tensor, Tensor]:
        """The experts `[T, S]` of tokens `[T, K]`, and their weights."""

    def can_rotate(self, x: Tensor) -> bool:
        """Whether `rotate` takes heads like these."""

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor, *, neighbours: bool) -> Tensor:
        """`[T, heads, D]` turned by the angles `[T, D]`; pairs are neighbours, or lie half a head apart."""

    def can_attend(self, queries: Tensor, keys: Tensor) -> bool:
        """Whether `attend` takes heads like these."""

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, slots: Tensor, lengths: Tensor) -> Tensor:
        """One new token each of n texts: queries `[n, H, D]` -> `[n, H, D]`.

        Keys and values `[slots, G, D]` lie in a text's `slots` `[n, B]`; it sees the first `lengths` `[n]`.
        """


def fused_kernels_for(device: torch.device) -> FusedKernels | None:
    """The kernels for tensors of a device, where they have fused ones.

    On a GPU there are none: a captured graph makes separate steps cheap.
    """
    if device.type == "cpu" and cpu.available():
        from engine.kernels.cpu import ops as on_cpu  # noqa: PLC0415 - not there where it was not built

        return on_cpu
    return None


def kernels_for(device: torch.device) -> Kernels | None:
    """The kernels for tensors of a device; None where only the references serve."""
    if device.type == "cuda":
        from engine.kernels.cuda import ops as on_gpu  # noqa: PLC0415 - loads CUDA's libraries

        return on_gpu
    if device.type == "cpu" and cpu.available():
        from engine.kernels.cpu import ops as on_cpu  # noqa: PLC0415 - not there where it was not built

        return on_cpu
    return None
