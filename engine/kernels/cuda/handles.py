"""Weights as the kernels take them, with the launcher of the device that they lie on.

T tokens, N output channels, K input rows, E experts, M modalities, P pairs, H hidden size, I expert size
"""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda.dispatch import Routed
from engine.kernels.cuda.launch import BLOCK, Launcher, Value, parts, read, written

GATE_UP = (
    read("gate_up_codes", "uint8", "E 2I/128 H/4 128"),
    read("gate_up_scales", "float16", "E 2I"),
)
DOWN = (read("down_codes", "uint8", "E H/128 I/4 128"), read("down_scales", "float16", "E H"))
DOWN_SIGNS = read("down_signs", "int8", "I")
INNER = (written("inner", "int8", "P I"), written("inner_scales", "float32", "P I/128"))
"""Arguments of the kernels for experts; the last are between gates and ups and down."""


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


class Sizes(NamedTuple):
    """The sizes of the experts of a modality, both multiples of 128."""

    hidden: int
    size: int


class Coded(NamedTuple):
    """Codes uint8 `[E, N/128, K/4, 128]`, scales fp16 `[E, N]` and signs int8 `[K]` of a projection."""

    codes: Tensor
    scales: Tensor
    signs: Tensor


class HeldExperts(NamedTuple):
    """Both projections of the experts of a modality in 2 bits."""

    launcher: Launcher
    gate_up: Coded
    down: Coded
    window_bits: int

    @property
    def number(self) -> int:
        """How many experts."""
        return len(self.down.codes)

    @property
    def sizes(self) -> Sizes:
        """Of one expert."""
        return Sizes(len(self.gate_up.signs), len(self.down.signs))


class HeldMixture(NamedTuple):
    """Experts of M modalities and their router: weights fp32 `[M E, H]`, correction bias fp32 `[M, E]`."""

    experts: tuple[HeldExperts, ...]
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
) -> HeldExperts:
    """Experts of codes `[E, N/128, K/4, 128]`, fp16 scales `[E, N]` and signs `[K]`, for `run_experts`."""
    return HeldExperts(_launcher(gate_up[0]), Coded(*gate_up), Coded(*down), window_bits)


def inner_arrays(held: HeldExperts, routed: Routed, device: torch.device) -> dict[str, Value]:
    """Space for what the gates and ups give: int8 `[P, I]` with its scales."""
    size = held.sizes.size
    return {
        "inner": torch.empty(routed.pairs, size, dtype=torch.int8, device=device),
        "inner_scales": torch.empty(routed.pairs, parts(size, BLOCK), device=device),
    }


def _launcher(tensor: Tensor) -> Launcher:
    from engine.kernels.cuda import launcher  # noqa: PLC0415 - loads CUDA's libraries

    return launcher.of(tensor.device)
