"""Both projections of 2-bit experts on the tensor cores, for many tokens an expert."""

from torch import Tensor

from engine.format.activations import Quantized
from engine.kernels.cuda.dispatch import BLOCKS, Dispatched, Routed
from engine.kernels.cuda.handles import DOWN, DOWN_SIGNS, GATE_UP, INNER, HeldExperts, Sizes, inner_arrays
from engine.kernels.cuda.launch import (
    CODE_BYTES,
    ELEMENTS,
    INT_BYTES,
    QUANTIZED,
    STAGES,
    TILE,
    Kernel,
    Launch,
    Value,
    integers,
    launch_of,
    parts,
    read,
    staged_bytes,
    written,
)

_CONSTANTS = ("ELEMENT", "TOKENS", "STAGES", "WINDOW_BITS")

EXPERT_GATE_UP = Kernel(
    "expert_gate_up",
    "expert_gemm.cu",
    _CONSTANTS,
    (
        *BLOCKS,
        read("order", "int32", "P"),
        *QUANTIZED,
        *GATE_UP,
        DOWN_SIGNS,
        *INNER,
        *integers("top_k", "hidden", "size"),
    ),
)
EXPERT_DOWN = Kernel(
    "expert_down",
    "expert_gemm.cu",
    _CONSTANTS,
    (
        *BLOCKS,
        read("inner", "int8", "P I"),
        read("inner_scales", "float32", "P I/128"),
        *DOWN,
        written("results", "element", "P H"),
        *integers("hidden", "size"),
    ),
)
"""In both, TOKENS is the `block_tokens` of the dispatch, one of MANY."""


def gate_up_launch(
    element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int
) -> Launch:
    """Each thread block takes a token block and a tile of gates with its tile of ups."""
    return _launch(EXPERT_GATE_UP, element, window_bits, routed, sizes.size // TILE, block_tokens)


def down_launch(element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int) -> Launch:
    """Each thread block takes a token block and two tiles."""
    return _launch(EXPERT_DOWN, element, window_bits, routed, parts(sizes.hidden // TILE, 2), block_tokens)


def _launch(
    kernel: Kernel, element: str, window_bits: int, routed: Routed, tiles: int, block_tokens: int
) -> Launch:
    constants: dict[str, str | int] = {
        "ELEMENT": element,
        "TOKENS": block_tokens,
        "STAGES": STAGES,
        "WINDOW_BITS": window_bits,
    }
    shared = STAGES * (2 * CODE_BYTES + staged_bytes(block_tokens)) + block_tokens * INT_BYTES
    return launch_of(kernel, constants, tiles, routed.most_blocks(block_tokens), shared=shared)


def expert_gemm(
    held: HeldExperts,
    routed: Routed,
    block_tokens: int,
    sent: Dispatched,
    quantized: Quantized,
    results: Tensor,
) -> None:
    """Fill the `results` `[P, H]` of the pairs in the first range of `sent`: SwiGLU, then down."""
    shape = (ELEMENTS[results.dtype], held.window_bits, routed, held.sizes)
    inner, sizes = inner_arrays(held, routed, results.device), held.sizes._asdict()
    blocks: dict[str, Value] = {"blocks": sent.blocks, "range": sent.ranges}
    gate_up: dict[str, Value] = {
        **blocks,
        "order": sent.order,
        **quantized._asdict(),
        "gate_up_codes": held.gate_up.codes,
        "gate_up_scales": held.gate_up.scales,
        "down_signs": held.down.signs,
        **inner,
        "top_k": routed.top_k,
        **sizes,
    }
    held.launcher.launch(gate_up_launch(*shape, block_tokens=block_tokens), gate_up)
    down: dict[str, Value] = {
        **blocks,
        **inner,
        "down_codes": held.down.codes,
        "down_scales": held.down.scales,
        "results": results,
        **sizes,
    }
    held.launcher.launch(down_launch(*shape, block_tokens=block_tokens), down)
