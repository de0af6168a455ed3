"""All that is to be known about a GPU, by one command: do the kernels compute what they should, and how fast.

    python bench/gpu [--device cuda:0] [--out gpu.json] [--minutes 8] [--seed N]
    python bench/gpu --device cpu --tiny

Needs Python 3.11 or newer, torch, numpy, safetensors, tokenizers, pillow, cuda-core, cuda-bindings and NVRTC;
Lynceus need not be installed. Every section is a process of its own with a limit, because a fault in a kernel
spoils all that its process does afterwards; what stands behind the fault is then measured in a new one. The
JSON is written anew after each section. With `--device cpu --tiny` the same program runs at a tiny size on
the CPU's kernels, to try the program itself.

Exit code 0: all that was measured agrees; 1: something failed or differs; 2: there is no GPU to measure.
"""

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # started as a path, Python looks here alone

from bench.gpu.clock import clock_of
from bench.gpu.process import SECTIONS, Trial, measured
from bench.gpu.rows import Row, Status
from bench.gpu.targets import WRONG, target_table
from bench.host import commit
from bench.table import table
from engine.kernels.cuda.support import device_fault

NO_GPU = 2
RESERVE = 5.0
"""Seconds kept back for printing."""

LONGEST_NOTE = 160
"""Characters of a note on the screen; the JSON has it whole."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sections, print tables and write the JSON."""
    options = _options(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and (fault := device_fault(device.index or 0)) is not None:
        print(f"no GPU to measure: {fault.detail} ({fault.hint})", file=sys.stderr)
        return NO_GPU
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    machine = describe(device, seed)
    for name, value in machine.items():
        print(f"{name:10} {value}")
    rows = _run_all(options, machine, seed)
    print(table(("what", "wanted on an H100", "measured", "holds"), target_table(rows, _counts(options))))
    failed = [row for row in rows if row.status is Status.FAILED]
    wrong = [row for row in rows if row.name == WRONG and row.value]
    skipped = sum(row.status is Status.SKIPPED for row in rows)
    print(f"\n{len(failed)} failed, {len(wrong)} differ, {skipped} skipped; all of it in {options.out}")
    return int(bool(failed or wrong))


def _counts(options: argparse.Namespace) -> bool:
    """Whether the times are those of a GPU at full size, and may be held against the targets."""
    return not options.tiny and torch.device(options.device).type == "cuda"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="next to no work, to try the program")
    parser.add_argument("--seed", type=int, help="of the random inputs; else a new one each time")
    parser.add_argument("--minutes", type=float, default=8.0, help="the most that all sections take together")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    return parser.parse_args(arguments)


def _run_all(options: argparse.Namespace, machine: dict[str, str], seed: int) -> list[Row]:
    """Each section has its own time, and what those before it left."""
    end = time.monotonic() + 60 * options.minutes - RESERVE
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(options.device, options.tiny, seed, Path(directory))
        for number, section in enumerate(SECTIONS):
            kept = sum(later.seconds for later in SECTIONS[number + 1 :] if trial.refusal(later) is None)
            found = measured(trial, section, end - kept)
            print(table((section.name, "", "", ""), [_cells(row) for row in found]), flush=True)
            rows += found
            save(options.out, machine, rows, _counts(options))
    return rows


def _cells(row: Row) -> tuple[str, str, str, str]:
    value = row.status.upper() if row.value is None else f"{row.value:.4g} {row.unit}"
    return "", row.name, value, " ".join(row.note.split())[:LONGEST_NOTE]


def describe(device: torch.device, seed: int) -> dict[str, str]:
    """The device and the software that the figures belong to."""
    return {
        "device": _device_name(device),
        "clock": clock_of(device).name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
        "command": " ".join(sys.argv),
        "seed": str(seed),
    }


def _device_name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{platform.processor() or platform.machine()}: the program is tried, nothing is measured"
    properties = torch.cuda.get_device_properties(device)
    memory = f"{properties.total_memory / 2**30:.0f} GiB"
    return f"{properties.name}, {properties.multi_processor_count} multiprocessors, {memory}"


def save(path: Path, machine: dict[str, str], rows: Sequence[Row], counts: bool) -> None:
    """Write all there is so far; a reader never sees half a file."""
    targets = target_table(rows, counts)
    content = {"machine": machine, "rows": [asdict(row) for row in rows], "targets": targets}
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
