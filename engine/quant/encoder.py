"""Encodes with the compiled search where there is one, else with the reference: the same bytes."""

import os
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.format.code import table
from engine.format.layout import CENTRE
from engine.kernels import cpu
from engine.quant import viterbi
from engine.quant.viterbi import TARGET_STEPS, Targets, states_followed

_values = cache(table)


def encode(
    targets: Targets, window_bits: int, beam: int | None = None, threads: int | None = None
) -> npt.NDArray[np.uint8]:
    """Bytes `[S, 128]` for targets `[S, 128, 4]`.

    `beam` is how many states are followed at each byte, None the usual number; all find the best path.
    `threads` None uses every core.
    """
    followed = states_followed(window_bits, beam)
    if not cpu.available():
        return viterbi.encode(targets, window_bits, followed)
    from engine.kernels.cpu import _native  # noqa: PLC0415 - only there where it was built

    codes = np.empty(targets.shape[:2], np.uint8)
    _native.encode(
        _values(window_bits),
        np.ascontiguousarray(targets),
        codes,
        window_bits=window_bits,
        centre=CENTRE,
        target_steps=TARGET_STEPS,
        beam=followed,
        threads=threads or os.cpu_count() or 1,
        portable=False,
    )
    return codes
