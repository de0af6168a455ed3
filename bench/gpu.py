"""All that is to be known about a GPU, by one command: do the kernels compute what they should, and how fast.

    python -m bench.gpu [--device cuda:0] [--out gpu.json] [--minutes 8] [--seed N]
    python -m bench.gpu --device cpu --tiny

Needs Python 3.11 or newer, torch, numpy, safetensors, tokenizers, pillow, cuda-core, cuda-bindings and NVRTC;
Lynceus need not be installed. Every section is a process of its own with a limit, because a fault in a kernel
spoils all that its process does afterwards. The JSON is written anew after each section. With `--device cpu
--tiny` the same program runs at a tiny size on the CPU's kernels, to try the program itself.

Exit code 0: all was measured and agrees; 1: something failed or differs; 2: there is no GPU to measure.
"""

import argparse
import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench import gpu_correctness, gpu_kernels, gpu_model
from bench.gpu_clock import clock_of
from bench.gpu_rows import Row, Rows, Status, read_rows
from bench.gpu_setting import FULL, SMALL, Setting
from bench.gpu_table import table
from bench.gpu_targets import WRONG, target_table
from engine.kernels.cuda.support import device_fault

ROOT = Path(__file__).resolve().parent.parent
SANITIZER = "compute-sanitizer"
MEMORY_ERROR = 9
"""The exit code that the sanitizer is told to give."""

NO_GPU = 2
RESERVE = 5.0
"""Seconds kept back for printing."""


@dataclass(frozen=True)
class Section:
    """A part of the measurements, what it runs, and the most seconds it may take."""

    name: str
    run: Callable[[Setting], None]
    seconds: float
    sanitized: bool = False


SECTIONS = (
    Section("correctness", gpu_correctness.run, 110),
    Section("kernels", gpu_kernels.run, 120),
    Section("model", gpu_model.run, 150),
    Section("memcheck", gpu_correctness.run, 90, sanitized=True),
)
"""In the order of what is worth most if the time runs out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all sections, or within a section's own process that section."""
    options = _options(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and (fault := device_fault(device.index or 0)) is not None:
        print(f"no GPU to measure: {fault.detail} ({fault.mend})", file=sys.stderr)
        return NO_GPU
    if options.section is not None:
        _run_section(options, device)
        return 0
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    machine = describe(device, seed)
    for name, value in machine.items():
        print(f"{name:10} {value}")
    rows = _run_all(options, machine, seed)
    print(table(("what", "wanted on an H100", "measured", "holds"), target_table(rows, _counts(options))))
    wrong = any(row.status is Status.FAILED or (row.name == WRONG and row.value != 0) for row in rows)
    return int(wrong)


def _counts(options: argparse.Namespace) -> bool:
    """Whether the times are those of a GPU at full size, and may be held against the targets."""
    return not options.tiny and torch.device(options.device).type == "cuda"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="next to no work, to try the program")
    parser.add_argument("--seed", type=int, help="of the random inputs; else a new one each time")
    parser.add_argument("--minutes", type=float, default=8.0, help="the most that all sections take together")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--section", choices=[each.name for each in SECTIONS], help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--compiled", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _run_section(options: argparse.Namespace, device: torch.device) -> None:
    """What a section's own process does; any error that is not written down ends it."""
    if device.type == "cuda":
        from engine.kernels.cuda import launcher

        launcher.keep_compiled_in(options.compiled)
    setting = Setting(
        device=device,
        clock=clock_of(device),
        draw=torch.Generator(device).manual_seed(options.seed),
        sizes=SMALL if options.tiny else FULL,
        rows=Rows(options.section, options.rows),
        seed=options.seed,
    )
    section = next(each for each in SECTIONS if each.name == options.section)
    with torch.inference_mode():
        section.run(setting)


def _run_all(options: argparse.Namespace, machine: dict[str, str], seed: int) -> list[Row]:
    end = time.monotonic() + 60 * options.minutes - RESERVE
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        for section in SECTIONS:
            seconds = min(section.seconds, end - time.monotonic())
            found = _in_process(options, section, seed, seconds, Path(directory))
            print(table((section.name, "", "", ""), [_cells(row) for row in found]), flush=True)
            rows += found
            save(options.out, machine, rows, _counts(options))
    return rows


def _in_process(
    options: argparse.Namespace, section: Section, seed: int, seconds: float, directory: Path
) -> list[Row]:
    """A section's rows, with one more where it did not come to its end."""
    if section.sanitized and (shutil.which(SANITIZER) is None or options.device == "cpu"):
        return [Row(section.name, section.name, note=f"no {SANITIZER} here", status=Status.SKIPPED)]
    if seconds <= 0:
        return [Row(section.name, section.name, note="no time was left", status=Status.SKIPPED)]
    written = directory / f"{section.name}.jsonl"
    given = ["--device", options.device, "--seed", str(seed), *(["--tiny"] if options.tiny else [])]
    kept = ["--section", section.name, "--rows", str(written), "--compiled", str(directory / "compiled")]
    command = [sys.executable, "-m", "bench.gpu", *given, *kept]
    if section.sanitized:
        command = [SANITIZER, "--error-exitcode", str(MEMORY_ERROR), *command]
    ending = _ending(section.name, command, seconds)
    return read_rows(written) + ending


def _ending(name: str, command: Sequence[str], seconds: float) -> list[Row]:
    """Run a section's process; a row says why it did not end well, if it did not."""
    try:
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return [Row(name, name, note=f"stopped after {seconds:.0f} s", status=Status.SKIPPED)]
    if ran.returncode == 0:
        return []
    said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-3:]
    what = "memory errors" if ran.returncode == MEMORY_ERROR else f"exit code {ran.returncode}"
    return [Row(name, name, note=f"{what}: {' | '.join(said)}", status=Status.FAILED)]


def _cells(row: Row) -> tuple[str, str, str, str]:
    value = row.status.upper() if row.value is None else f"{row.value:.4g} {row.unit}"
    return "", row.name, value, row.note


def describe(device: torch.device, seed: int) -> dict[str, str]:
    """The device and the software that the figures belong to."""
    asked = ["/usr/bin/env", "git", "describe", "--always", "--dirty"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "device": _device_name(device),
        "clock": clock_of(device).name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit or "not a checkout",
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
