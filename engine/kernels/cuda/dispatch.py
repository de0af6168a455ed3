"""The sort of pairs of a token and an expert by their expert, and the cut into token blocks."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda.launch import (
    FEW,
    INT_BYTES,
    MOST_THREADS,
    WARP,
    Kernel,
    Launch,
    Launcher,
    Value,
    few,
    integers,
    launch_of,
    many,
    parts,
    read,
    written,
)

DISPATCH = Kernel(
    "dispatch",
    "dispatch.cu",
    ("EXPERTS",),
    (
        read("experts", "int32", "P"),
        written("order", "int32", "P"),
        written("places", "int32", "P"),
        written("blocks", "int32", "Z 4"),
        written("ranges", "int32", "M+1"),
        written("counters", "int32", "C"),
        *integers("pairs", "modalities", "block_tokens", "counters_length"),
    ),
)
"""EXPERTS is M E. `order` names the pair at each place, sorted by expert and stable; `places` is its inverse.

A block is the expert within its modality, its first place, how many places, and the modality; those of
modality m are ranges[m] to ranges[m+1], and the expert kernels are given the address of ranges[m]. The
counters are set to zero for `expert_gemv`, which may have none.
"""

BLOCKS = (read("blocks", "int32", "Z 4"), read("range", "int32", "2"))
"""What the expert kernels read of it beside the order."""


class Routed(NamedTuple):
    """How many tokens go to how many experts."""

    tokens: int
    top_k: int
    experts: int
    modalities: int = 1

    @property
    def pairs(self) -> int:
        """Pairs of a token and one of its experts."""
        return self.tokens * self.top_k

    @property
    def all_experts(self) -> int:
        """Experts of all modalities."""
        return self.experts * self.modalities

    def most_blocks(self, block_tokens: int) -> int:
        """So many token blocks suffice, however the tokens are spread."""
        return min(self.pairs, self.pairs // block_tokens + self.all_experts)


class Dispatched(NamedTuple):
    """Pairs in the order of their experts; `counters` are zeros, as many as were asked for."""

    order: Tensor
    places: Tensor
    blocks: Tensor
    ranges: Tensor
    counters: Tensor

    def of(self, modality: int) -> "Dispatched":
        """The same with the range of one modality first."""
        return self._replace(ranges=self.ranges[modality:])


def block_tokens_for(routed: Routed) -> int:
    """The size of token blocks that suits the mean expert: of FEW for `expert_gemv`, else of MANY."""
    mean = parts(routed.pairs, routed.all_experts)
    return few(min(routed.tokens, FEW[-1])) if mean <= FEW[-1] // 2 else many(mean)


def dispatch_launch(routed: Routed) -> Launch:
    """One thread block: a warp for each 32 pairs, and a thread for each expert."""
    warps = min(MOST_THREADS // WARP, parts(max(routed.pairs, routed.all_experts), WARP))
    shared = (warps + 2) * routed.all_experts * INT_BYTES
    return launch_of(DISPATCH, {"EXPERTS": routed.all_experts}, 1, threads=warps * WARP, shared=shared)


def dispatch(
    launcher: Launcher, routed: Routed, experts: Tensor, block_tokens: int, counters: int
) -> Dispatched:
    """Sort the pairs by their expert int32 `[T, S]`, and cut each expert's into blocks of `block_tokens`."""
    blocks = routed.most_blocks(block_tokens)
    lengths = (routed.pairs, routed.pairs, 4 * blocks, routed.modalities + 1, counters)
    arrays = [torch.empty(length, dtype=torch.int32, device=experts.device) for length in lengths]
    found = Dispatched(*arrays)
    arguments: dict[str, Value] = {
        "experts": experts,
        **found._asdict(),
        "pairs": routed.pairs,
        "modalities": routed.modalities,
        "block_tokens": block_tokens,
        "counters_length": counters,
    }
    launcher.launch(dispatch_launch(routed), arguments)
    return found
