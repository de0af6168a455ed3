"""The search for the best path through the 2-bit code, in numpy: slow, exact, the C++ encoder's oracle.

S segments, T = 128 channels of a segment, W = 2^window_bits windows
"""

import numpy as np
import numpy.typing as npt

from engine.format.code import table
from engine.format.layout import CENTRE, SEGMENT

TARGET_STEPS = 4
"""A target is given to the search in quarters of a value's step: finer changes no path worth the cost."""

LARGEST_TARGET = 127
UNREACHABLE = 1 << 28
DROPPED = 1 << 40
"""The cost of a state that a beam does not follow: above any that is reached."""

BEAM = 1024
"""States followed at each byte where nobody says otherwise: all at L = 16 and 18, the best quarter at 20."""

Targets = npt.NDArray[np.int8]
"""[S, 128, 4], quarters of a step around the centre."""


def as_targets(weights: npt.NDArray[np.float32]) -> Targets:
    """Round weights `[..., 4]`, already divided by their channel's scale, to the search's units."""
    return np.clip(np.rint(weights * TARGET_STEPS), -LARGEST_TARGET, LARGEST_TARGET).astype(np.int8)


def encode(targets: Targets, window_bits: int, beam: int | None = None) -> npt.NDArray[np.uint8]:
    """The bytes `[S, 128]` whose values are nearest to the targets, each segment biting its own tail.

    Two passes (Shao et al. 2003): the first, begun half a segment away and open at both ends, says in which
    state the segment should close; the second finds the best path that begins and ends there. At each byte
    the `beam` best states are followed, and the best of each set that leads to the same states.
    """
    followed = states_followed(window_bits, beam)
    return np.stack([_encode_segment(each.astype(np.int32), window_bits, followed) for each in targets])


def states_followed(window_bits: int, beam: int | None) -> int:
    """How many states are followed at each byte: BEAM for None, and never more than there are."""
    return min(beam or BEAM, 1 << (window_bits - 8))


def _encode_segment(target: npt.NDArray[np.int32], window_bits: int, beam: int) -> npt.NDArray[np.uint8]:
    states = 1 << (window_bits - 8)
    half = SEGMENT // 2
    cost, back = _run(np.roll(target, -half, axis=0), np.zeros(states, np.int64), window_bits, beam)
    closing = _walk(int(cost.argmin()), back[half:], window_bits)[0]
    start = np.full(states, UNREACHABLE, np.int64)
    start[closing] = 0
    _, back = _run(target, start, window_bits, beam)
    return _walk(closing, back, window_bits)[1]


def _run(
    target: npt.NDArray[np.int32], cost: npt.NDArray[np.int64], window_bits: int, beam: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Costs of all states after the last step, and for each step and state the number of its predecessor."""
    states, older = 1 << (window_bits - 8), 1 << (window_bits - 16)
    values = table(window_bits).astype(np.int32)
    norms = ((values - CENTRE) ** 2).sum(1) * (TARGET_STEPS // 2)
    back = np.zeros((len(target), states), np.uint8)
    for step, wanted in enumerate(target):
        reached = norms - values @ wanted + np.repeat(_followed(cost, older, beam), 256)
        by_block = reached.reshape(256, older, 256)
        back[step] = by_block.argmin(0).reshape(states)
        cost = by_block.min(0).reshape(states)
        cost = np.minimum(cost - cost.min(), UNREACHABLE)
    return cost, back


def _followed(cost: npt.NDArray[np.int64], older: int, beam: int) -> npt.NDArray[np.int64]:
    """The costs of the states, without those that a beam drops."""
    limit = np.partition(cost, beam - 1)[beam - 1]
    kept = cost <= limit
    best = cost.reshape(-1, older).argmin(0) * older + np.arange(older)
    kept[best] = True
    return np.where(kept, cost, DROPPED)


def _walk(state: int, back: npt.NDArray[np.uint8], window_bits: int) -> tuple[int, npt.NDArray[np.uint8]]:
    """Follow the best path backwards from a state: the state before the first step, and the bytes."""
    codes = np.empty(len(back), np.uint8)
    for step in range(len(back) - 1, -1, -1):
        codes[step] = state & 0xFF
        state = int(back[step, state]) << (window_bits - 16) | state >> 8
    return state, codes
