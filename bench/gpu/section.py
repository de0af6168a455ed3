"""One section of the measurements on a GPU, in a process of its own: `bench.gpu.__main__` starts it.

Exit code 0: it came to its end, whatever single parts gave; LOST: the device answers nothing any more.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from bench.gpu import correctness as gpu_correctness
from bench.gpu import kernels as gpu_kernels
from bench.gpu import model as gpu_model
from bench.gpu.clock import clock_of
from bench.gpu.rows import Rows
from bench.gpu.setting import FULL, SMALL, Part, Setting

LOST = 3
NO_TIME = "no time was left"

SECTIONS: Mapping[str, Callable[[Setting], dict[str, Part]]] = {
    "correctness": gpu_correctness.parts,
    "kernels": gpu_kernels.parts,
    "model": gpu_model.parts,
    "memcheck": gpu_correctness.parts,
}
"""The parts of each section by name, in their order."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts behind the one named, or all of them."""
    options = _options(arguments)
    end = time.monotonic() + options.seconds
    device = torch.device(options.device)
    if device.type == "cuda":
        from engine.kernels.cuda import launcher

        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
        launcher.keep_compiled_in(options.compiled)
    setting = Setting(
        device=device,
        clock=clock_of(device),
        draw=torch.Generator(device).manual_seed(options.seed),
        sizes=SMALL if options.tiny else FULL,
        rows=Rows(options.section, options.rows),
        seed=options.seed,
    )
    parts = SECTIONS[options.section](setting)
    names = list(parts)
    left = names[1 + names.index(options.after) :] if options.after else names
    with torch.inference_mode():
        return measure({name: parts[name] for name in left}, setting, options.begun, end)


def measure(parts: Mapping[str, Part], setting: Setting, begun: Path, end: float) -> int:
    """Each part in its turn, named in a file before it begins; without time it is said to be skipped."""
    for name, part in parts.items():
        names = part.targets or (name,)
        if time.monotonic() >= end:
            for each in names:
                setting.rows.skip(each, f"{name}: {NO_TIME}")
            continue
        with begun.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, names]) + "\n")
        with setting.rows.attempt(*names):
            part.run(setting)
        if setting.on_gpu and not _answers():
            return LOST
    return 0


def _answers() -> bool:
    """Whether the device still works: after a kernel's fault nothing does in its process."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.gpu.section", description=__doc__)
    parser.add_argument("--section", choices=SECTIONS, required=True)
    parser.add_argument("--after", help="the last part that is done")
    parser.add_argument("--device", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, required=True, help="begin no part later than that")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--begun", type=Path, required=True)
    parser.add_argument("--compiled", type=Path, required=True)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
