"""How each CUDA kernel is launched for a problem's shape: constants, grid, threads, shared memory.

The one place for that: the launcher, the tests that run the sources on the CPU, and the bench read it. It
needs no device; `faces` lists each kernel's arguments.

T tokens, K input rows in blocks of 128, N output channels, E experts of a modality, S experts a token
"""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from engine.kernels.cpu import layout_header
from engine.kernels.cuda.faces import (
    COMBINE,
    DISPATCH,
    ENCODE,
    EXPERT_DOWN,
    EXPERT_GATE_UP,
    EXPERT_GEMV,
    LINEAR4,
    LINEAR4_MANY,
    LINEAR8,
    LINEAR8_MANY,
    NORM_QUANTIZE,
    QUANTIZE,
    ROUTE,
    SWIGLU_QUANTIZE,
    Kernel,
)

SOURCES = Path(__file__).parent
INTRINSICS = "intrinsics.cuh"
"""The only header with inline PTX, and so the only one that the tests replace."""
HEADERS = (INTRINSICS, "activations.cuh", "codes.cuh", "tensor_cores.cuh")
LAYOUT_HEADER = "layout.cuh"
"""The header that `layout_constants` writes; the sources include all headers in angle brackets."""
OPTIONS = ("--std=c++17", "--fmad=false")
"""What every compiler needs: a product and a sum that are rounded together would differ from the CPU."""

_LAYOUT_FILE = SOURCES.parents[1] / "quant" / "layout.py"
_LAYOUT = runpy.run_path(str(_LAYOUT_FILE))
TILE: int = _LAYOUT["SEGMENT"]
BLOCK: int = _LAYOUT["HADAMARD_BLOCK"]
WINDOW_BITS: tuple[int, ...] = _LAYOUT["WINDOW_BITS"]
CODE_BYTES = TILE * BLOCK // _LAYOUT["ROWS_PER_BYTE"]
"""Bytes of a 2-bit tile of 128 channels and one block of input rows."""

WARP = 32
THREADS = 256
"""Threads of a thread block where a kernel has no reason for another number."""
MOST_THREADS = 1024
"""Threads that a thread block may have."""
ELEMENTS = ("float", "half", "bfloat16")
"""Values of the constant ELEMENT: the type of hidden states, in the sources' names."""
FEW = (1, 2, 4, 8)
"""Values of TOKENS in the kernels for few tokens."""
MANY = (16, 32, 64, 128)
"""Values of TOKENS in the kernels for many tokens."""

Constants = Mapping[str, str]


class Launch(NamedTuple):
    """A kernel, the constants to compile it with, its grid, threads and bytes of dynamic shared memory."""

    kernel: Kernel
    constants: Constants
    grid: tuple[int, int, int]
    threads: int
    shared: int


def layout_constants() -> str:
    """The text of `layout.cuh`, from engine/quant/layout.py."""
    return layout_header.text(str(_LAYOUT_FILE))


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


class Sizes(NamedTuple):
    """The sizes of the experts of a modality, both multiples of 128."""

    hidden: int
    size: int


def parts(whole: int, part: int) -> int:
    """How many parts cover the whole."""
    return -(-whole // part)


def few(tokens: int) -> int:
    """The smallest of FEW that holds so many tokens, or the largest of them."""
    return next((size for size in FEW if size >= tokens), FEW[-1])


def many(tokens: int) -> int:
    """The smallest of MANY that holds so many tokens, or the largest of them."""
    return next((size for size in MANY if size >= tokens), MANY[-1])


def expert_tokens(routed: Routed) -> int:
    """The `block_tokens` that suit the mean expert: one of FEW for `expert_gemv`, of MANY for the others."""
    mean = parts(routed.pairs, routed.all_experts)
    return few(min(routed.tokens, FEW[-1])) if mean <= FEW[-1] // 2 else many(mean)


_WARPS = THREADS // WARP
_INT, _FLOAT = 4, 4
_GEMV_THREADS = 128
_GEMV_RESIDENT = 4
"""Thread blocks of `expert_gemv` for each multiprocessor: enough loads under way to fill its memory pipe."""
_STAGES = 3
"""Blocks of input rows that are under way from memory while the tensor cores work."""
_CHANNELS = 32
"""Output channels of a thread block in `linear8` and `linear4`."""
_ENCODE_SEGMENTS = 4
"""More would share a window's values better, but leave multiprocessors idle with one stack of experts."""
_ENCODE_KEYS = 8192
"""States of all its segments that a thread block keeps, twice, in at most 64 KB."""
_ENCODE_RESIDENT = 4
"""Thread blocks of `encode` for each multiprocessor."""


def route(tokens: int, experts: int) -> Launch:
    """Each warp takes a token."""
    return _launch(ROUTE, {"EXPERTS": experts}, parts(tokens, _WARPS))


def dispatch(routed: Routed) -> Launch:
    """One thread block: a warp for each 32 pairs, and a thread for each expert."""
    warps = min(MOST_THREADS // WARP, parts(max(routed.pairs, routed.all_experts), WARP))
    shared = (warps + 2) * routed.all_experts * _INT
    return _launch(DISPATCH, {"EXPERTS": routed.all_experts}, 1, threads=warps * WARP, shared=shared)


def combine(element: str, tokens: int, top_k: int, hidden: int) -> Launch:
    """Each thread takes four channels; a token is one thread block's as far as that has threads."""
    threads = min(MOST_THREADS, parts(hidden, 4 * WARP) * WARP)
    shared = top_k * (_INT + _FLOAT)
    constants: dict[str, str | int] = {"ELEMENT": element, "TOP_K": top_k}
    return _launch(COMBINE, constants, parts(hidden, 4 * threads), tokens, threads=threads, shared=shared)


def quantize(element: str, tokens: int, rows: int) -> Launch:
    """Each warp takes a block of a token."""
    return _launch(QUANTIZE, {"ELEMENT": element}, parts(tokens * parts(rows, BLOCK), _WARPS))


def norm_quantize(element: str, tokens: int, rows: int) -> Launch:
    """Each thread block takes a token."""
    shared = (parts(rows, BLOCK) * BLOCK + _WARPS) * _FLOAT
    return _launch(NORM_QUANTIZE, {"ELEMENT": element}, tokens, shared=shared)


def swiglu_quantize(element: str, tokens: int, rows: int) -> Launch:
    """Each warp takes a block of a token."""
    return _launch(SWIGLU_QUANTIZE, {"ELEMENT": element}, parts(tokens * parts(rows, BLOCK), _WARPS))


class GemvPlan(NamedTuple):
    """How `expert_gemv` is launched, with its last two arguments and the lengths of its two work arrays."""

    launch: Launch
    gate_up_chunk: int
    down_chunk: int
    partials: int
    counters: int


def expert_gemv(
    element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int, multiprocessors: int
) -> GemvPlan:
    """Warps take tasks until none is left: a chunk of input blocks of one tile of one token block.

    Chunks are as long as leaves two tasks for every warp. `dispatch` clears so many `counters`.
    """
    blocks = routed.most_blocks(block_tokens)
    warps = multiprocessors * _GEMV_RESIDENT * _GEMV_THREADS // WARP
    wide, deep = sizes.size // TILE, sizes.hidden // BLOCK
    gate_up_chunk = _chunk(blocks * 2 * wide, deep, warps)
    down_chunk = _chunk(blocks * deep, wide, warps)
    gate_up_tasks = blocks * 2 * wide * parts(deep, gate_up_chunk)
    grid = min(multiprocessors * _GEMV_RESIDENT, parts(gate_up_tasks, _GEMV_THREADS // WARP))
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": block_tokens, "WINDOW_BITS": window_bits}
    slots = 2 * wide * _slots(deep, gate_up_chunk) + deep * _slots(wide, down_chunk)
    return GemvPlan(
        _launch(EXPERT_GEMV, constants, max(grid, 1), threads=_GEMV_THREADS),
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


def expert_gate_up(
    element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int
) -> Launch:
    """Each thread block takes a token block and a tile of gates with its tile of ups."""
    return _expert_gemm(EXPERT_GATE_UP, element, window_bits, routed, sizes.size // TILE, block_tokens)


def expert_down(element: str, window_bits: int, routed: Routed, sizes: Sizes, *, block_tokens: int) -> Launch:
    """Each thread block takes a token block and two tiles."""
    tiles = parts(sizes.hidden // TILE, 2)
    return _expert_gemm(EXPERT_DOWN, element, window_bits, routed, tiles, block_tokens)


def _expert_gemm(
    kernel: Kernel, element: str, window_bits: int, routed: Routed, tiles: int, block_tokens: int
) -> Launch:
    constants: dict[str, str | int] = {
        "ELEMENT": element,
        "TOKENS": block_tokens,
        "STAGES": _STAGES,
        "WINDOW_BITS": window_bits,
    }
    shared = _STAGES * (2 * CODE_BYTES + _activations(block_tokens)) + block_tokens * _INT
    return _launch(kernel, constants, tiles, routed.most_blocks(block_tokens), shared=shared)


def _activations(tokens: int) -> int:
    """Bytes of a block of input rows and its scales."""
    return tokens * (BLOCK + _FLOAT)


def linear8(element: str, tokens: int, channels: int) -> Launch:
    """Each thread block takes 32 channels and up to 8 tokens."""
    return _linear(LINEAR8, element, tokens, channels)


def linear4(element: str, tokens: int, channels: int) -> Launch:
    """As `linear8`."""
    return _linear(LINEAR4, element, tokens, channels)


def _linear(kernel: Kernel, element: str, tokens: int, channels: int) -> Launch:
    at_once = few(tokens)
    shared = 2 * _WARPS * _CHANNELS * at_once * _FLOAT
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": at_once}
    return _launch(kernel, constants, parts(channels, _CHANNELS), parts(tokens, at_once), shared=shared)


def linear8_many(element: str, tokens: int, channels: int) -> Launch:
    """Each thread block takes 128 channels and up to 128 tokens."""
    return _linear_many(LINEAR8_MANY, element, tokens, channels, TILE * BLOCK)


def linear4_many(element: str, tokens: int, channels: int) -> Launch:
    """As `linear8_many`."""
    group_scales = 2 * TILE * 2
    return _linear_many(LINEAR4_MANY, element, tokens, channels, TILE * BLOCK // 2 + group_scales)


def _linear_many(kernel: Kernel, element: str, tokens: int, channels: int, weights: int) -> Launch:
    at_once = many(tokens)
    shared = _STAGES * (weights + _activations(at_once))
    constants: dict[str, str | int] = {"ELEMENT": element, "TOKENS": at_once, "STAGES": _STAGES}
    return _launch(kernel, constants, parts(channels, TILE), parts(tokens, at_once), shared=shared)


class EncodePlan(NamedTuple):
    """How `encode` is launched, and the bytes of its scratch."""

    launch: Launch
    scratch: int


def encode(segments: int, window_bits: int, multiprocessors: int) -> EncodePlan:
    """Each thread block takes a few segments at a time, until none is left; fewer where states are many."""
    states = 1 << (window_bits - 8)
    at_once = min(_ENCODE_SEGMENTS, _ENCODE_KEYS // states)
    grid = min(parts(segments, at_once), multiprocessors * _ENCODE_RESIDENT)
    shared = (2 * states + TILE + 1) * at_once * _INT
    constants: dict[str, str | int] = {"WINDOW_BITS": window_bits, "SEGMENTS": at_once}
    return EncodePlan(
        _launch(ENCODE, constants, max(grid, 1), shared=shared), max(grid, 1) * TILE * states * at_once
    )


def _launch(
    kernel: Kernel,
    constants: Mapping[str, str | int],
    wide: int,
    high: int = 1,
    *,
    threads: int = THREADS,
    shared: int = 0,
) -> Launch:
    texts = {name: str(constants[name]) for name in kernel.constants}
    return Launch(kernel, texts, (wide, high, 1), threads, shared)
