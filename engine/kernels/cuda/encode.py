"""The search for the 2-bit code on a GPU."""

from typing import NamedTuple

import torch
from torch import Tensor

from engine.kernels.cuda.launch import (
    INT_BYTES,
    TILE,
    Kernel,
    Launch,
    Launcher,
    Value,
    integers,
    launch_of,
    parts,
    read,
    written,
)

ENCODE = Kernel(
    "encode",
    "encode.cu",
    ("WINDOW_BITS", "SEGMENTS"),
    (
        read("targets", "int8", "N/128 128 4"),
        written("codes", "uint8", "N/128 128"),
        written("scratch", "uint8", "encode_scratch()"),
        *integers("segments", "half_steps"),
    ),
)
"""SEGMENTS is how many segments a thread block searches at once; `half_steps` half of TARGET_STEPS."""

SEGMENTS = 4
"""More would share a window's values better, but leave multiprocessors idle with one stack of experts."""
KEYS = 8192
"""States of all its segments that a thread block keeps, twice, in at most 64 KB."""
RESIDENT = 4
"""Thread blocks for each multiprocessor."""


class EncodePlan(NamedTuple):
    """A launch, and the bytes of its scratch."""

    launch: Launch
    scratch: int


def encode_plan(segments: int, window_bits: int, multiprocessors: int) -> EncodePlan:
    """Each thread block takes a few segments at a time, until none is left; fewer where states are many."""
    states = 1 << (window_bits - 8)
    at_once = min(SEGMENTS, KEYS // states)
    grid = max(1, min(parts(segments, at_once), multiprocessors * RESIDENT))
    shared = (2 * states + TILE + 1) * at_once * INT_BYTES
    constants: dict[str, str | int] = {"WINDOW_BITS": window_bits, "SEGMENTS": at_once}
    return EncodePlan(launch_of(ENCODE, constants, grid, shared=shared), grid * TILE * states * at_once)


def encode(launcher: Launcher, targets: Tensor, window_bits: int, target_steps: int) -> Tensor:
    """The best bytes `[S, 128]` for targets int8 `[S, 128, 4]` in units of 1/`target_steps` of a step.

    Every state is followed: the same bytes as from the CPU's search with as wide a beam.
    """
    plan = encode_plan(len(targets), window_bits, launcher.multiprocessors)
    return encode_by(plan, launcher, targets, target_steps)


def encode_by(plan: EncodePlan, launcher: Launcher, targets: Tensor, target_steps: int) -> Tensor:
    """The same by a plan."""
    codes = torch.empty(targets.shape[:2], dtype=torch.uint8, device=targets.device)
    arguments: dict[str, Value] = {
        "targets": targets.contiguous(),
        "codes": codes,
        "scratch": torch.empty(plan.scratch, dtype=torch.uint8, device=targets.device),
        "segments": len(targets),
        "half_steps": target_steps // 2,
    }
    launcher.launch(plan.launch, arguments)
    return codes
