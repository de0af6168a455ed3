"""What a compiled CUDA kernel takes and holds: read from its machine code, no device needed.

    sizes = resources(cubin)["expert_gemv"]

Registers and memory come from NVIDIA's cuobjdump, instructions from its nvdisasm.
"""

import re
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.format.layout import MULTIPLIER, ROWS_PER_BYTE
from engine.kernels.cuda.launch import WARP

TOOLS = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin"

REGISTERS = 65536
"""Of a multiprocessor, in four parts; a warp is given them by 256."""

_USAGE = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_FUNCTION = re.compile(r"^\.text\.(\w+):$")
_LABEL = re.compile(r"^(\.L_x_\d+):$")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(.+?) ?;")
_BRANCH = re.compile(r"\bBRA\b[^`]*`\((\.L_x_\d+)\)")


class Resources(NamedTuple):
    """Registers and bytes of stack of a thread, static shared bytes of a thread block, local bytes."""

    registers: int
    stack: int
    shared: int
    local: int


class Limits(NamedTuple):
    """What a multiprocessor holds at once: warps, thread blocks, bytes of shared memory."""

    warps: int
    blocks: int
    shared: int


LIMITS = {
    "sm_80": Limits(64, 32, 164 * 1024),
    "sm_86": Limits(48, 16, 100 * 1024),
    "sm_89": Limits(48, 24, 100 * 1024),
    "sm_90": Limits(64, 32, 228 * 1024),
    "sm_100": Limits(64, 32, 228 * 1024),
    "sm_120": Limits(48, 24, 100 * 1024),
}
"""CUDA C++ Programming Guide 13.0, technical specifications per compute capability."""


def resources(cubin: bytes) -> dict[str, Resources]:
    """Of each kernel, by its name."""
    with _file(cubin) as file:
        text = _run("cuobjdump", "-res-usage", file.name)
    return {name: Resources(*map(int, numbers)) for name, *numbers in _USAGE.findall(text)}


def occupancy(taken: Resources, threads: int, dynamic_shared: int, limits: Limits) -> float:
    """The share of a multiprocessor's warps that can be resident."""
    warps = -(-threads // WARP)
    given = -(-taken.registers * WARP // 256) * 256
    by_registers = REGISTERS // 4 // given * 4 // warps
    shared = -(-(taken.shared + dynamic_shared) // 128) * 128
    by_shared = limits.shared // max(shared, 1)
    return min(limits.blocks, limits.warps // warps, by_registers, by_shared) * warps / limits.warps


def instructions_per_weight(cubin: bytes, kernel: str) -> float | None:
    """Instructions of the loop that decodes 2-bit weights, for each of them; None where none does.

    Of several such loops it is the one that uses a weight for most tokens: the others serve a remainder.
    """
    with _file(cubin) as file:
        lines = _function(_run("nvdisasm", "-c", file.name), kernel)
    loops = [loop for loop in _loops(lines) if _decodings(loop)]
    if not loops:
        return None
    main = max(loops, key=lambda loop: (_products(loop) / _decodings(loop), -len(loop)))
    return sum(not line.startswith(".L_x_") for line in main) / (_decodings(main) * ROWS_PER_BYTE)


def _file(cubin: bytes) -> "tempfile._TemporaryFileWrapper[bytes]":
    file = tempfile.NamedTemporaryFile(suffix=".cubin")  # noqa: SIM115 - the caller closes it
    file.write(cubin)
    file.flush()
    return file


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([TOOLS / tool, *arguments], capture_output=True, text=True, check=True).stdout


def _function(listing: str, kernel: str) -> list[str]:
    """The lines of one kernel: labels and instructions."""
    lines: list[str] = []
    current = ""
    for line in listing.splitlines():
        if start := _FUNCTION.match(line):
            current = start[1]
        elif current == kernel and (found := _LABEL.match(line) or _INSTRUCTION.match(line)):
            lines.append(found[1])
    return lines


def _loops(lines: list[str]) -> Iterator[list[str]]:
    """From each label that a later branch goes back to, up to the last such branch.

    A stretch with an end of the kernel in it is none: behind that the compiler puts what is rarely reached.
    """
    places = {line: at for at, line in enumerate(lines) if line.startswith(".L_x_")}
    ends: dict[int, int] = {}
    for at, line in enumerate(lines):
        branch = _BRANCH.search(line)
        if branch and places.get(branch[1], at) < at and "EXIT" not in lines[places[branch[1]] : at]:
            ends[places[branch[1]]] = at + 1
    return (lines[start:end] for start, end in ends.items())


def _decodings(lines: list[str]) -> int:
    """Windows that are turned into values: each takes one product with the code's multiplier."""
    return sum(f"{MULTIPLIER:#x}" in line for line in lines)


def _products(lines: list[str]) -> int:
    """Dot products of four bytes, and those of the tensor cores."""
    return sum("IDP.4A" in line or "IMMA" in line for line in lines)
