"""What a kernel is launched with, and the check that it is what the kernel's face says."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from engine.kernels.cuda.faces import Argument, Kernel
from engine.kernels.cuda.launches import Constants, Launch

Value = Tensor | int | float | None

ELEMENTS = {torch.float32: "float", torch.float16: "half", torch.bfloat16: "bfloat16"}
"""The constant ELEMENT for hidden states of each type."""


class Launcher(Protocol):
    """Where kernels run: a GPU, or in tests the processor."""

    @property
    def multiprocessors(self) -> int:
        """How many run at once."""

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """Run a kernel on arguments by the names of its face, after what was launched before."""


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
