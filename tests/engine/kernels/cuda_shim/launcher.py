"""Launches kernels on the CPU, in the place of a GPU's launcher."""

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.kernels.cuda.launch import Launch, Value, check
from tests.engine.kernels.cuda_shim.harness import POISON, Shim


class OnShim:
    """Launches on the CPU."""

    multiprocessors = 1

    def __init__(self, shim: Shim) -> None:
        self.shim = shim

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """Run the kernel and fill what it writes; numbers that it leaves alone keep their value."""
        check(launch.kernel, launch.constants, arguments)
        found = self.shim.run(launch, arguments)
        for argument in launch.kernel.arguments:
            array = arguments[argument.name]
            if isinstance(array, Tensor) and argument.name in found:
                array.copy_(torch.where(_untouched(found[argument.name]), array, found[argument.name]))


def _untouched(array: Tensor) -> Tensor:
    """Where the shim's poison still is; a single byte may well be a value that looks like it."""
    poisoned = array.contiguous().unsqueeze(-1).view(torch.uint8) == POISON
    return poisoned.all(-1) & torch.tensor(array.element_size() > 1)
