"""Compiles the kernels ahead of the first start, for cards that need not be here.

A unit is compiled for constants that depend on the checkpoint's experts, on the type of hidden states and on
how many tokens are computed together; all that serving can ask for are listed here.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

from engine.errors import KernelUncompiled
from engine.format.layout import WINDOW_BITS
from engine.kernels.cuda.cache import CubinCache
from engine.kernels.cuda.compiler import Unit, architectures, compile_unit, fingerprint, unit
from engine.kernels.cuda.encode import ENCODE
from engine.kernels.cuda.launch import FEW, MANY, STAGES, Kernel
from engine.kernels.cuda.ops import KERNELS

CARDS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_103", "sm_120")
"""Servers and workstations from Ampere to Blackwell; other cards compile at their first start."""

ELEMENT = "bfloat16"
"""What a GPU computes in unless a setting says otherwise."""

MODALITIES = 2

Tell = Callable[[int, int], None]
"""Told how many units of how many are there."""


class ExpertCounts(NamedTuple):
    """The experts of a modality, and how many of them a token goes to."""

    experts: int
    top_k: int


RELEASED = ExpertCounts(experts=64, top_k=6)
"""ERNIE-4.5-VL-28B-A3B."""


def units(cards: Sequence[str], experts: Iterable[ExpertCounts] = (RELEASED,)) -> list[Unit]:
    """Everything that serving checkpoints with such experts compiles on these cards, each once."""
    served = [kernel for kernel in KERNELS if kernel is not ENCODE]
    found = {
        unit(kernel.source, constants, card)
        for card, counts, kernel in product(cards, tuple(experts), served)
        for constants in _constants(kernel, counts)
    }
    return sorted(found)


def build(directory: Path, wanted: Sequence[Unit], tell: Tell | None = None) -> int:
    """Compile into a directory what is not there whole already; returns how many were compiled.

    Raises KernelUncompiled for an architecture that the compiler does not know, and where one fails.
    """
    known = {f"sm_{number}" for number in architectures()}
    if unknown := sorted({each.architecture for each in wanted} - known):
        raise KernelUncompiled(
            f"the compiler knows no {', '.join(unknown)}", f"choose among {', '.join(sorted(known))}"
        )
    kept, compiled = CubinCache(directory), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, is_new in enumerate(pool.map(lambda each: _compile(each, kept), wanted), 1):
            compiled += is_new
            if tell is not None:
                tell(number, len(wanted))
    return compiled


def _compile(wanted: Unit, kept: CubinCache) -> bool:
    name = fingerprint(wanted)
    if kept.read(name) is not None:
        return False
    kept.write(name, compile_unit(wanted).cubin)
    return True


def _constants(kernel: Kernel, counts: ExpertCounts) -> Iterator[dict[str, str]]:
    """Every set of constants that the kernel is launched with."""
    values: dict[str, Sequence[object]] = {
        "ELEMENT": (ELEMENT,),
        # Experts are counted in one modality, or through both.
        "EXPERTS": (counts.experts, counts.experts * MODALITIES),
        "TOP_K": (counts.top_k,),
        "WINDOW_BITS": WINDOW_BITS,
        "STAGES": (STAGES,),
        # The tensor cores' kernels, which work in stages, take many tokens at once.
        "TOKENS": MANY if "STAGES" in kernel.constants else FEW,
    }
    for chosen in product(*(values[name] for name in kernel.constants)):
        yield {name: str(value) for name, value in zip(kernel.constants, chosen, strict=True)}
