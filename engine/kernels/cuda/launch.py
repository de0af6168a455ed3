"""What a launch of a CUDA kernel is: its signature, constants, grid and arguments, and the check of these.

Each operation is a module beside its source: the signatures of its kernels, how they are launched for a
problem's shape, and the function of tensors. None of it needs a device; what it runs on is a `Launcher`.

T tokens, K input rows in B blocks of 128, N output channels, E experts of a modality, M modalities, S experts
a token, P = T S pairs of a token and one of its experts, H hidden size, I expert size, Z token blocks
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from engine.format.layout import HADAMARD_BLOCK, ROWS_PER_BYTE, SEGMENT

TILE, BLOCK = SEGMENT, HADAMARD_BLOCK
CODE_BYTES = TILE * BLOCK // ROWS_PER_BYTE
"""Bytes of a 2-bit tile of 128 channels and one block of input rows."""

WARP = 32
THREADS = 256
"""Threads of a thread block where a kernel has no reason for another number."""
WARPS = THREADS // WARP
MOST_THREADS = 1024
"""Threads that a thread block may have."""
STAGES = 3
"""Blocks of input rows that are under way from memory while the tensor cores work."""
INT_BYTES = FLOAT_BYTES = 4

FEW = (1, 2, 4, 8)
"""Values of the constant TOKENS in the kernels for few tokens."""
MANY = (16, 32, 64, 128)
"""Values of the constant TOKENS in the kernels for many tokens."""

ELEMENTS = {torch.float32: "float", torch.float16: "half", torch.bfloat16: "bfloat16"}
"""The constant ELEMENT for hidden states of each type, in the sources' names."""

Value = Tensor | int | float | None
Constants = Mapping[str, str]


class Argument(NamedTuple):
    """A pointer where `shape` is given, else a number; dtype "element" is the constant ELEMENT.

    A pointer to something optional may be null; what is `written` need not be initialised.
    """

    name: str
    dtype: str
    shape: str = ""
    written: bool = False
    optional: bool = False


class Kernel(NamedTuple):
    """An `extern "C"` function of a source file; the compiler is given its constants as definitions."""

    name: str
    source: str
    constants: tuple[str, ...]
    arguments: tuple[Argument, ...]


class Launch(NamedTuple):
    """A kernel, the constants to compile it with, its grid, threads and bytes of dynamic shared memory."""

    kernel: Kernel
    constants: Constants
    grid: tuple[int, int, int]
    threads: int
    shared: int


class Launcher(Protocol):
    """Where kernels run: a GPU, or in tests the processor."""

    @property
    def multiprocessors(self) -> int:
        """How many run at once."""

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """Run a kernel on arguments by the names of its signature, after what was launched before."""


def read(name: str, dtype: str, shape: str, *, optional: bool = False) -> Argument:
    """An array that a kernel reads."""
    return Argument(name, dtype, shape, optional=optional)


def written(name: str, dtype: str, shape: str) -> Argument:
    """An array that a kernel writes."""
    return Argument(name, dtype, shape, written=True)


def integers(*names: str) -> tuple[Argument, ...]:
    """Numbers of 32 bits."""
    return tuple(Argument(name, "int32") for name in names)


QUANTIZED = (read("values", "int8", "T B 128"), read("scales", "float32", "T B"))
"""Activations in int8, as most kernels read them."""


def launch_of(
    kernel: Kernel,
    constants: Mapping[str, str | int],
    wide: int,
    high: int = 1,
    *,
    threads: int = THREADS,
    shared: int = 0,
) -> Launch:
    """A launch on a grid `wide` by `high`."""
    texts = {name: str(constants[name]) for name in kernel.constants}
    return Launch(kernel, texts, (wide, high, 1), threads, shared)


def check(kernel: Kernel, constants: Constants, arguments: Mapping[str, Value]) -> None:
    """Assert that the arguments are the kernel's, of its types, contiguous, and on one device."""
    assert {each.name for each in kernel.arguments} == set(arguments), f"{kernel.name}: {sorted(arguments)}"
    for each in kernel.arguments:
        assert _fits(each, constants, arguments[each.name]), f"{kernel.name}: {each.name} is not {each.dtype}"
    devices = {value.device for value in arguments.values() if isinstance(value, Tensor)}
    assert len(devices) <= 1, f"{kernel.name}: arguments on {devices}"


def _fits(argument: Argument, constants: Constants, value: Value) -> bool:
    if not argument.shape:
        return isinstance(value, int | float)
    if value is None:
        return argument.optional
    if not isinstance(value, Tensor) or not value.is_contiguous():
        return False
    if argument.dtype == "element":
        return ELEMENTS.get(value.dtype) == constants["ELEMENT"]
    return value.dtype == getattr(torch, argument.dtype)


def parts(whole: int, part: int) -> int:
    """How many parts cover the whole."""
    return -(-whole // part)


def few(tokens: int) -> int:
    """The smallest of FEW that holds so many tokens, or the largest of them."""
    return next((size for size in FEW if size >= tokens), FEW[-1])


def many(tokens: int) -> int:
    """The smallest of MANY that holds so many tokens, or the largest of them."""
    return next((size for size in MANY if size >= tokens), MANY[-1])


def staged_bytes(tokens: int) -> int:
    """Bytes of a block of input rows of so many tokens, and its scales."""
    return tokens * (BLOCK + FLOAT_BYTES)
