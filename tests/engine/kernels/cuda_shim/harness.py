"""Runs the CUDA sources on the CPU: compiled with sanitizers against the shim, a process for each launch."""

import hashlib
import os
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine.kernels.cuda.launch import ELEMENTS, Argument, Launch
from engine.kernels.cuda.sources import LAYOUT_HEADER, SOURCES, headers

SHIM = Path(__file__).parent
COMPILER = (
    *("g++", "-std=c++17", "-O1", "-g1", "-ffp-contract=off"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-Wno-psabi"),
)
POISON = 0xA5

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "int32": torch.int32,
    "int8": torch.int8,
    "uint8": torch.uint8,
}
TYPES = {name: dtype for dtype, name in ELEMENTS.items()}

Given = Tensor | int | float | None


class KernelFailed(Exception):
    """A sanitizer or the shim stopped a kernel; the text is what it said."""


class Shim:
    """Compiles kernels into a folder, once for each set of constants, and runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, launch: Launch, given: Mapping[str, Given]) -> dict[str, Tensor]:
        """What the kernel's arrays hold after the launch, by name.

        `given` has a value for each argument; an array that the kernel writes is given for its shape and
        poisoned first. KernelFailed says what was wrong.
        """
        arguments = launch.kernel.arguments
        assert set(given) == {argument.name for argument in arguments}, "the kernel's own arguments"
        element = TYPES[launch.constants.get("ELEMENT", "float")]
        arrays = {a.name: _array(a, given[a.name], element) for a in arguments if a.shape}
        problem = struct.pack("<5Q", *launch.grid[:2], launch.threads, launch.shared, len(arguments))
        for argument in arguments:
            held = arrays[argument.name] if argument.shape else _number(argument, given[argument.name])
            data = b"" if held is None else held.view(torch.uint8).numpy().tobytes()
            problem += struct.pack("<2Q", len(data), bool(argument.shape)) + data
        return _split(self._execute(self._built(launch), problem), arrays)

    def _execute(self, program: Path, problem: bytes) -> bytes:
        before, after = (self.folder / f"{kind}-{os.getpid()}" for kind in ("problem", "result"))
        before.write_bytes(problem)
        ran = subprocess.run([program, before, after], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise KernelFailed(ran.stderr)
        return after.read_bytes()

    def _built(self, launch: Launch) -> Path:
        constants = [f"-D{name}={value}" for name, value in launch.constants.items()]
        source = SOURCES / launch.kernel.source
        entry = [f'-DKERNEL_SOURCE="{source}"', f"-DKERNEL_NAME={launch.kernel.name}", *constants]
        common = self._compiled(SHIM / "fibers.cpp"), self._compiled(SHIM / "runner.cpp")
        own = self._compiled(SHIM / "entry.cpp", *entry, reads=source)
        parts = hashlib.sha256("".join(part.name for part in (*common, own)).encode()).hexdigest()[:20]
        return self._kept(f"{launch.kernel.name}-{parts}", lambda out: _compile(*common, own, "-o", out))

    def _compiled(self, file: Path, *flags: str, reads: Path | None = None) -> Path:
        includes = [f"-I{folder}" for folder in (SHIM, SOURCES, self._layout().parent)]
        texts = [file, *sorted(SHIM.glob("*.h")), *sorted(SHIM.glob("*.cuh"))]
        texts += [] if reads is None else [reads, *sorted(SOURCES.glob("*.cuh"))]
        digest = hashlib.sha256("\0".join([*COMPILER, *flags, headers()[LAYOUT_HEADER]]).encode())
        for text in texts:
            digest.update(text.read_bytes())
        name = f"{file.stem}-{digest.hexdigest()[:20]}.o"
        return self._kept(name, lambda out: _compile(*includes, *flags, "-c", file, "-o", out))

    def _layout(self) -> Path:
        text = headers()[LAYOUT_HEADER]
        folder = self.folder / f"layout-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
        folder.mkdir(exist_ok=True)
        return self._kept(folder.name + "/" + LAYOUT_HEADER, lambda out: out.write_text(text))

    def _kept(self, name: str, make: Callable[[Path], object]) -> Path:
        """The file of that name, made where it is not there; another process may make it at the same time."""
        kept = self.folder / name
        if not kept.exists():
            partial = kept.with_name(f"{kept.name}-{os.getpid()}")
            make(partial)
            partial.replace(kept)
        return kept


def _compile(*arguments: str | Path) -> None:
    """Raise KernelFailed with the compiler's words unless it is content."""
    ran = subprocess.run([*COMPILER, *arguments], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise KernelFailed(ran.stderr)


def _array(argument: Argument, given: Given, element: torch.dtype) -> Tensor | None:
    if given is None:
        assert argument.optional, f"{argument.name} is needed"
        return None
    assert isinstance(given, Tensor), f"{argument.name} is an array"
    assert given.dtype == DTYPES.get(argument.dtype, element), f"{argument.name} is {given.dtype}"
    array = given.contiguous().clone()
    return (
        array.flatten().view(torch.uint8).fill_(POISON).view(array.dtype).view(array.shape)
        if argument.written
        else array
    )


def _number(argument: Argument, given: Given) -> Tensor:
    return torch.tensor([given], dtype=DTYPES[argument.dtype])


def _split(result: bytes, arrays: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    found, at = {}, 0
    for name, array in arrays.items():
        if array is None:
            continue
        size = array.numel() * array.element_size()
        part = torch.frombuffer(bytearray(result[at : at + size]), dtype=array.dtype) if size else array
        found[name] = part.view(array.shape)
        at += size
    return found
