"""Runs the sections of the measurements on a GPU in their own processes, and begins again behind a fault."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.gpu.rows import Row, Status, read_rows
from bench.gpu.section import LOST, NO_TIME
from bench.host import ROOT

SANITIZER = "compute-sanitizer"
TOOLKITS = "/usr/local/cuda/bin:/opt/cuda/bin:/usr/local/cuda/compute-sanitizer"
"""Where the sanitizer lies if it is not on the path."""

MEMORY_ERROR = 9
"""The exit code that the sanitizer is told to give."""

GRACE = 20.0
"""Seconds before a section's end in which no part of it begins any more."""

SAID = 20
"""Lines from the beginning and from the end of what a process said that are kept if it did not end well."""


class Section(NamedTuple):
    """Some of the measurements, and the seconds that are kept for them."""

    name: str
    seconds: float
    sanitized: bool = False


SECTIONS = (
    Section("correctness", 105),
    Section("kernels", 105),
    Section("model", 165),
    Section("memcheck", 90, sanitized=True),
)
"""In the order of what is worth most if the time runs out; together a little under 8 minutes."""


class Ended(NamedTuple):
    """How a process ended: its exit code, None if it was stopped, and what it said, shortened."""

    code: int | None
    said: str


@dataclass
class Trial:
    """What all sections share: the device, the seed of the random inputs, a folder for what they write."""

    device: str
    tiny: bool
    seed: int
    folder: Path
    processes: int = 0

    def refusal(self, section: Section) -> str | None:
        """Why a section is not run here, or None."""
        if section.sanitized and (self.device == "cpu" or sanitizer() is None):
            return f"no {SANITIZER} here"
        return None

    def command(self, section: Section, after: str | None, seconds: float) -> tuple[list[str], Path, Path]:
        """The command of a new process, and the files for its rows and for the parts it began."""
        self.processes += 1
        rows, begun = (self.folder / f"{self.processes}.{kind}" for kind in ("rows", "begun"))
        command = [sys.executable, "-m", "bench.gpu.section", "--section", section.name]
        command += ["--device", self.device, "--seed", str(self.seed), "--seconds", str(seconds)]
        command += ["--rows", str(rows), "--begun", str(begun), "--compiled", str(self.folder / "compiled")]
        command += [*(["--tiny"] if self.tiny else []), *([] if after is None else ["--after", after])]
        found = sanitizer()
        if section.sanitized and found is not None:
            command = [found, "--error-exitcode", str(MEMORY_ERROR), *command]
        return command, rows, begun


def sanitizer() -> str | None:
    """The path of NVIDIA's memory checker."""
    return shutil.which(SANITIZER) or shutil.which(SANITIZER, path=TOOLKITS)


def measured(trial: Trial, section: Section, end: float) -> list[Row]:
    """All rows of a section, until `end` of `time.monotonic()`.

    A part that ends its process is a row of its own, and those behind it go on in a new process.
    """
    refusal = trial.refusal(section)
    if refusal is not None:
        return [Row(section.name, section.name, note=refusal, status=Status.SKIPPED)]
    found: list[Row] = []
    after: str | None = None
    while True:
        seconds = end - time.monotonic()
        if seconds <= 0:
            note = NO_TIME if after is None else f"{NO_TIME} for what comes behind {after}"
            return [*found, Row(section.name, section.name, note=note, status=Status.SKIPPED)]
        command, rows, begun = trial.command(section, after, max(0.0, seconds - GRACE))
        ended = run(command, seconds, sanitized=section.sanitized)
        found += read_rows(rows)
        if ended.code == 0:
            return found
        last, names = last_begun(begun)
        found += _failures(section, last, names, ended, read_rows(rows))
        if last is None:
            return found
        after = last


def _failures(
    section: Section, part: str | None, names: Sequence[str], ended: Ended, rows: Sequence[Row]
) -> list[Row]:
    """Rows that say how a process ended; the figures of the part that ended it have failed."""
    if ended.code == LOST and any(row.status is Status.FAILED for row in rows):
        return []  # the part itself wrote down what happened
    what = {
        None: "did not end in time and was stopped",
        LOST: "the device answers nothing any more",
        MEMORY_ERROR: "memory errors",
    }.get(ended.code, f"exit code {ended.code}")
    note = f"{part or 'start'}: {what}\n{ended.said}"
    return [Row(section.name, name, note=note, status=Status.FAILED) for name in names or (section.name,)]


def last_begun(file: Path) -> tuple[str | None, list[str]]:
    """The last part that a process began, and the names of its figures."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if not lines:
        return None, []
    name, names = json.loads(lines[-1])
    return name, names


def run(command: Sequence[str], seconds: float, *, sanitized: bool = False) -> Ended:
    """Run a process and whatever it starts, for so many seconds at most."""
    # What the allocator keeps would hide an access behind an array's end from the sanitizer.
    environment = os.environ | ({"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"} if sanitized else {})
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        code = None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return Ended(code, _shortened(said.strip().splitlines()))


def _shortened(lines: Sequence[str]) -> str:
    """The first of what was said is the cause, the last what it came to."""
    left_out = [f"... {len(lines) - 2 * SAID} lines ..."]
    return "\n".join(lines if len(lines) <= 2 * SAID else [*lines[:SAID], *left_out, *lines[-SAID:]])
