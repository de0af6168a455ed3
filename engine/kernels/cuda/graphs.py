"""Functions of fixed shapes captured as CUDA graphs: one launch in place of a thousand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_WARM_UP = 2
"""Runs before a capture, in which kernels are compiled and libraries make their workspaces."""

Shapes = tuple[torch.Size, ...]


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class Graphs:
    """Runs a function of tensors on a GPU, captured once for each set of input shapes.

    The function may read nothing back from the device, and must do the same for the same shapes. All graphs
    share their memory, so an output is the caller's only as a copy. One thread may use it.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._captured: dict[Shapes, _Captured] = {}
        self._pool: Any = None

    def run(self, *inputs: Tensor) -> Tensor:
        """The function's value on these inputs."""
        shapes = tuple(each.shape for each in inputs)
        if shapes not in self._captured:
            self._captured[shapes] = self._capture(tuple(each.clone() for each in inputs))
        captured = self._captured[shapes]
        for held, given in zip(captured.inputs, inputs, strict=True):
            held.copy_(given)
        captured.graph.replay()
        return captured.output.clone()

    def _capture(self, inputs: tuple[Tensor, ...]) -> _Captured:
        self._warm_up(inputs)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the device while this one captures.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            output = self._function(*inputs)
        return _Captured(graph, inputs, output)

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self._function(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
