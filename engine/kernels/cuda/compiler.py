"""Compiles the CUDA sources with NVRTC, NVIDIA's run-time compiler, which needs neither driver nor device."""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from cuda.bindings import nvrtc

from engine.errors import KernelUncompiled
from engine.kernels.cuda.launch import Constants
from engine.kernels.cuda.sources import OPTIONS, headers, text_of


class Unit(NamedTuple):
    """A source file with the constants and the architecture ("sm_90") to compile it for."""

    source: str
    constants: tuple[tuple[str, str], ...]
    architecture: str

    @property
    def options(self) -> tuple[str, ...]:
        """What the compiler is told; every function is for the device, lambdas too."""
        definitions = (f"-D{name}={value}" for name, value in self.constants)
        return (*OPTIONS, "-default-device", f"--gpu-architecture={self.architecture}", *definitions)


class Compiled(NamedTuple):
    """The machine code of all kernels of a unit, and what the compiler said about them."""

    cubin: bytes
    log: str


def unit(source: str, constants: Constants, architecture: str) -> Unit:
    """A unit with its constants in one order, so that equal units are equal."""
    return Unit(source, tuple(sorted(constants.items())), architecture)


def fingerprint(unit: Unit) -> str:
    """SHA-256 of all that the machine code depends on: texts, options, and the compiler's version."""
    digest = hashlib.sha256()
    for text in (text_of(unit.source), *headers().values(), *unit.options, str(compiler_version())):
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def compile_unit(unit: Unit) -> Compiled:
    """Compile it; raises KernelUncompiled with the compiler's log."""
    names = [name.encode() for name in headers()]
    texts = [text.encode() for text in headers().values()]
    program = _checked(
        nvrtc.nvrtcCreateProgram(
            text_of(unit.source).encode(), unit.source.encode(), len(names), texts, names
        )
    )
    try:
        options = [option.encode() for option in unit.options]
        (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        log = _text(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode().rstrip("\0\n ")
        if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise _uncompiled(unit, log or _name(result))
        return Compiled(_text(program, nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN), log)
    finally:
        nvrtc.nvrtcDestroyProgram(program)


@cache
def compiler_version() -> tuple[int, int]:
    """Major and minor version of CUDA that the compiler belongs to."""
    major, minor = _checked(nvrtc.nvrtcVersion())
    return major, minor


@cache
def architectures() -> tuple[int, ...]:
    """The architectures that the compiler knows, as 80 for "sm_80", ascending."""
    return tuple(sorted(_checked(nvrtc.nvrtcGetSupportedArchs())))


def _uncompiled(unit: Unit, log: str) -> KernelUncompiled:
    constants = ", ".join(f"{name} {value}" for name, value in unit.constants)
    return KernelUncompiled(
        f"{unit.source} does not compile for {unit.architecture} with {constants}:\n{log}",
        "reinstall Lynceus with its cuda extra, so that sources and compiler fit each other",
    )


def _text(program: Any, size_of: Any, text_of: Any) -> bytes:  # noqa: ANN401 - the bindings carry no types
    size = _checked(size_of(program))
    # One byte longer: the compiler writes into it, and Python shares every bytes object of length one.
    text = bytes(size + 1)
    _checked(text_of(program, text))
    return text[:size]


def _checked(answer: Sequence[Any]) -> Any:  # noqa: ANN401 - the bindings carry no types
    """What a call returned beside its result code; raises KernelUncompiled where that is not success."""
    result, *values = answer
    if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise KernelUncompiled(
            f"the CUDA compiler failed: {_name(result)}", "check that memory is free, then start again"
        )
    return values[0] if len(values) == 1 else values


def _name(result: Any) -> str:  # noqa: ANN401 - the bindings carry no types
    return nvrtc.nvrtcGetErrorString(result)[1].decode()
