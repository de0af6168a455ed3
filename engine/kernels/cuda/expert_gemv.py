"""Both projections of 2-bit experts in one launch, for few tokens an expert."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.format.activations import Quantized
from engine.kernels.cuda.dispatch import BLOCKS, Dispatched, Routed
from engine.kernels.cuda.handles import DOWN, DOWN_SIGNS, GATE_UP, INNER, HeldExperts, Sizes, inner_arrays
from engine.kernels.cuda.launch import (
    BLOCK,
    ELEMENTS,
    QUANTIZED,
    TILE,
    WARP,
    Kernel,
    Launch,
    Value,
    integers,
    launch_of,
    parts,
    read,
    written,
)

EXPERT_GEMV = Kernel(
    "expert_gemv",
    "expert_gemv.cu",
    ("ELEMENT", "TOKENS", "WINDOW_BITS"),
    (
        *BLOCKS,
        read("order", "int32", "P"),
        *QUANTIZED,
        *GATE_UP,
        *DOWN,
        DOWN_SIGNS,
        written("partials", "float32", "gemv_partials()"),
        *INNER,
        written("results", "element", "P H"),
        read("counters", "int32", "gemv_counters()"),
        *integers("top_k", "hidden", "size", "gate_up_chunk", "down_chunk"),
    ),
)
"""TOKENS is the `block_tokens` of the dispatch, at most 8. The counters must be zero."""

THREADS = 128
RESIDENT = 4
"""Thread blocks for each multiprocessor: enough loads under way to fill its memory pipe."""


class GemvPlan(NamedTuple):
    """A launch with its last two arguments and the lengths of its two work arrays."""

    launch: Launch
    gate_up_chunk: int
    down_chunk: int
    partials: int
    counters: int


def gemv_plan(
    element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int, multiprocessors: int
) -> GemvPlan:
    """Warps take tasks until none is left: a chunk of input blocks of one tile of one token block.

    Chunks are as long as leaves two tasks for every warp. `dispatch` clears so many `counters`.
    """
    blocks = routed.most_blocks(block_tokens)
    warps = multiprocessors * RESIDENT * THREADS // WARP
    wide, deep = sizes.size // TILE, sizes.hidden // BLOCK
    gate_up_chunk = _chunk(blocks * 2 * wide, deep, warps)
    down_chunk = _chunk(blocks * deep, wide, warps)
    gate_up_tasks = blocks * 2 * wide * parts(deep, gate_up_chunk)
    grid = min(multiprocessors * RESIDENT, parts(gate_up_tasks, THREADS // WARP))
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": block_tokens, "WINDOW_BITS": window_bits}
    slots = 2 * wide * _slots(deep, gate_up_chunk) + deep * _slots(wide, down_chunk)
    return GemvPlan(
        launch_of(EXPERT_GEMV, constants, max(grid, 1), threads=THREADS),
        gate_up_chunk,
        down_chunk,
        partials=routed.pairs * slots * TILE,
        counters=1 + blocks * (wide + 1 + deep),
    )


def _chunk(tiles: int, depth: int, warps: int) -> int:
    return min(depth, parts(tiles * depth, 2 * warps))


def _slots(depth: int, chunk: int) -> int:
    """Products that a tile keeps for each channel: one where a single task adds them up itself."""
    return 1 if chunk >= depth else depth


def plan_for(held: HeldExperts, routed: Routed, dtype: torch.dtype, block_tokens: int) -> GemvPlan:
    """The plan for hidden states of a type on the experts' device."""
    return gemv_plan(
        ELEMENTS[dtype],
        held.window_bits,
        routed,
        held.sizes,
        block_tokens=block_tokens,
        multiprocessors=held.launcher.multiprocessors,
    )


def expert_gemv(
    held: HeldExperts, routed: Routed, plan: GemvPlan, sent: Dispatched, quantized: Quantized, results: Tensor
) -> None:
    """Fill the `results` `[P, H]` of the pairs in the first range of `sent`."""
    arguments: dict[str, Value] = {
        "blocks": sent.blocks,
        "range": sent.ranges,
        "order": sent.order,
        **quantized._asdict(),
        "gate_up_codes": held.gate_up.codes,
        "gate_up_scales": held.gate_up.scales,
        "down_codes": held.down.codes,
        "down_scales": held.down.scales,
        "down_signs": held.down.signs,
        "partials": torch.empty(plan.partials, device=results.device),
        **inner_arrays(held, routed, results.device),
        "results": results,
        "counters": sent.counters,
        "top_k": routed.top_k,
        "hidden": held.sizes.hidden,
        "size": held.sizes.size,
        "gate_up_chunk": plan.gate_up_chunk,
        "down_chunk": plan.down_chunk,
    }
    held.launcher.launch(plan.launch, arguments)
