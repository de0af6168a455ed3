"""What stands around the experts on an H100, on paper: `dispatch`, bound by latency, and `combine`."""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from bench.gpu.predicted.devices import DEVICES
from engine.kernels.cuda.dispatch import Routed, dispatch_launch
from engine.kernels.cuda.launch import WARP

H100 = DEVICES[-1]
AHEAD = 4
"""Steps whose pairs `dispatch` loads together."""

LOAD = 300
"""Clocks that a load from the second cache takes, assumed; what was just written lies there."""

SHARED = 30
"""Clocks that a read of shared memory takes, or a barrier; assumed."""

COUNT_STEP, PLACE_STEP = (17, 4 * SHARED), (40, 5 * SHARED)
"""Of a warp's step of 32 pairs: instructions in machine code for sm_90, and clocks if it is alone."""

SCAN = 600
"""Clocks from the sums over warps to the written blocks: shared memory and a few divisions; assumed."""

HEAD = ("tokens", "dispatch", "combine", "experts at least", "share", "experts as wanted", "share")


class Shape(NamedTuple):
    """So many tokens before the experts of one modality; the experts' seconds at least and as wanted."""

    name: str
    routed: Routed
    floor: float
    wanted: float
    combine: float
    """The seconds that memory needs for `combine`."""


def dispatch(routed: Routed) -> float:
    """Seconds of the one thread block, without its launch: two walks over all pairs, and sums between them.

    Four warps issue at a time, so that many warps wait for one another and few for memory.
    """
    warps = dispatch_launch(routed).threads // WARP
    steps = ceil(ceil(routed.pairs / WARP) / warps)
    walks = sum(
        ceil(steps / AHEAD) * LOAD + steps * max(alone, ceil(warps / 4) * instructions)
        for instructions, alone in (COUNT_STEP, PLACE_STEP)
    )
    return float(walks + warps * SHARED + SCAN) / H100.clock / 1e9


def combine(memory: float) -> float:
    """Seconds of `combine`: memory, but no less than places, a barrier and results one after the other."""
    return max(memory, (3 * LOAD + 4 * SHARED) / H100.clock / 1e9)


def rows(shapes: list[Shape]) -> Iterator[tuple[str, ...]]:
    """Both kernels' microseconds; the experts' at least and as wanted, each with the share of both."""
    for shape in shapes:
        both = dispatch(shape.routed), combine(shape.combine)
        cells = [f"{1e6 * time:.1f}" for time in both]
        for experts in (shape.floor, shape.wanted):
            cells += [f"{1e6 * experts:.1f}", f"{sum(both) / (sum(both) + experts):.0%}"]
        yield (shape.name, *cells)
