"""The search for the 2-bit code on a GPU."""

import torch
from torch import Tensor

from engine.kernels.cuda import launches
from engine.kernels.cuda.arguments import Launcher, Value


def encode(launcher: Launcher, targets: Tensor, window_bits: int, target_steps: int) -> Tensor:
    """The best bytes `[S, 128]` for targets int8 `[S, 128, 4]` in units of 1/`target_steps` of a step.

    Every state is followed: the same bytes as from the CPU's search with as wide a beam.
    """
    segments, length, _ = targets.shape
    plan = launches.encode(segments, window_bits, launcher.multiprocessors)
    codes = torch.empty(segments, length, dtype=torch.uint8, device=targets.device)
    arguments: dict[str, Value] = {
        "targets": targets.contiguous(),
        "codes": codes,
        "scratch": torch.empty(plan.scratch, dtype=torch.uint8, device=targets.device),
        "segments": segments,
        "half_steps": target_steps // 2,
    }
    launcher.launch(plan.launch, arguments)
    return codes
