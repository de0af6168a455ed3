# ruff: noqa: ANN401 - an operation of torch takes and gives anything
"""A fake GPU: torch takes it for one, its memory and its kernels are the processor's.

A tensor on it says "cuda:0" of itself and holds one of the processor, with which torch's own operations are
done. Ours run in the shim. What a real one would refuse is refused: operations on tensors of two devices, and
within a capture whatever reads from or writes to the host. A captured graph is replayed operation by
operation, on the memory that it was captured with, so that a number that was fixed in the capture shows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import getitem, setitem
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.nn.attention.bias import CausalBias, causal_lower_right
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode,
)
from torch.utils._pytree import tree_flatten, tree_map

from engine.kernels.cuda import launcher
from engine.kernels.cuda.launch import Launch, Value, check
from engine.model import attention
from engine.serving import device as serving_device
from engine.serving.loop import Loop
from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.kernels.cuda_shim.launcher import OnShim

GPU, HOST = torch.device("cuda:0"), torch.device("cpu")
MEMORY = 1 << 30

READS = {
    "_local_scalar_dense",
    "item",
    "nonzero",
    "unique",
    "_unique2",
    "masked_select",
    "equal",
    "is_nonzero",
}
"""Operations whose result or shape the host must know before it goes on."""

TRANSFERS = {"_to_copy", "to", "copy_", "cpu", "cuda", "lift_fresh"}
"""Operations that may have tensors of two devices."""


class OnGpu(Tensor):
    """A tensor of the fake GPU; `numbers` holds what is in it."""

    numbers: Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __new__(cls, inner: Tensor) -> Self:
        """Of the same shape, strides and type."""
        # Torch does not take a view from a weight that was loaded outside of inference for one made within.
        with torch.inference_mode(False):
            made: Self = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=int(inner.storage_offset()),
                dtype=inner.dtype,
                device=GPU,
            )
        made.numbers = inner
        return made

    def tolist(self) -> Any:
        """Read by the host."""
        return self.cpu().tolist()

    def item(self) -> Any:
        """Read by the host."""
        return _current().do("item", Tensor.item, (self,), {})

    def __int__(self) -> int:
        """Read by the host."""
        return int(self.item())

    def __float__(self) -> float:
        """Read by the host."""
        return float(self.item())

    def __bool__(self) -> bool:
        """Read by the host."""
        return bool(self.item())

    def nonzero(self) -> Any:  # type: ignore[override]
        """Done here, because torch itself would look for a real GPU; so are the others of its kind."""
        return _current().do("nonzero", Tensor.nonzero, (self,), {})

    def copy_(self, source: Tensor) -> Any:  # type: ignore[override]
        """As above."""
        return _current().do("copy_", Tensor.copy_, (self, source), {})

    def __getitem__(self, index: Any) -> Any:
        """As above."""
        return _current().do("nonzero" if _masks(index) else "index", getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        """As above."""
        _current().do("nonzero" if _masks(index) else "copy_", setitem, (self, index, value), {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Without the mode, a thread that does not know of the GPU has one of its tensors."""
        raise AssertionError(f"{func} on {GPU} outside of it")


class FakeGpu(TorchDispatchMode):
    """Does the operations of a thread, as long as it is entered there."""

    def __init__(self, memory: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memory = memory
        self.captured: list[Callable[[], None]] | None = None
        self.launched: Counter[str] = Counter()
        self.graphs = self.replays = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """In this thread; what torch makes of the host's numbers is then moved in a way that is seen."""
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with self:
                yield
        finally:
            torch._C._set_only_lift_cpu_tensors(before)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do one of torch's operations."""
        del types
        return self.do(func.overloadpacket.__name__, func, args, kwargs or {})

    def do(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Do an operation on the tensors that hold the numbers."""
        leaves, _ = tree_flatten((args, kwargs))
        to_gpu = any(isinstance(leaf, torch.device) and leaf.type == "cuda" for leaf in leaves)
        to_host = any(isinstance(leaf, torch.device) and leaf.type == "cpu" for leaf in leaves)
        on_gpu = [leaf for leaf in leaves if isinstance(leaf, OnGpu)]
        others = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, OnGpu)]
        if not (on_gpu or to_gpu):
            return func(*args, **kwargs)
        self._refuse(name, (to_host and bool(on_gpu)) or (to_gpu and bool(others)), on_gpu, others)
        held, known = _held((args, kwargs), self.memory), {id(leaf.numbers): leaf for leaf in on_gpu}
        found = func(*held[0], **held[1])
        if self.captured is not None:
            self.captured.append(_again(func, held, found))
        if to_host or name == "cpu":
            return tree_map(lambda leaf: leaf.clone() if id(leaf) in known else leaf, found)
        own = {id(leaf) for leaf in others}
        return tree_map(lambda leaf: _shown(leaf, known, own), found)

    def _refuse(self, name: str, transfer: bool, on_gpu: list[OnGpu], others: list[Tensor]) -> None:
        """Raise what a real GPU would, or a capture on one."""
        mixed = bool(on_gpu) and any(each.dim() for each in others)
        assert name in TRANSFERS or not mixed, f"{name} on tensors of {GPU} and {HOST}"
        if self.captured is not None:
            assert name not in READS, f"{name} reads from the GPU within a capture"
            assert not transfer, f"{name} moves between host and GPU within a capture"
            assert not mixed, f"{name} copies between host and GPU within a capture"


def _current() -> FakeGpu:
    """The one that this thread has entered."""
    gpu = _get_current_dispatch_mode()
    assert isinstance(gpu, FakeGpu), f"this thread is outside of {GPU}"
    return gpu


def _masks(index: Any) -> bool:
    """Whether an index chooses by truth, so that the host must count."""
    return any(isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_flatten(index)[0])


def _held(given: Any, memory: torch.device) -> Any:
    """The same arguments where the numbers are."""

    def held(leaf: Any) -> Any:
        if isinstance(leaf, OnGpu):
            return leaf.numbers
        return memory if isinstance(leaf, torch.device) and leaf.type == "cuda" else leaf

    return tree_map(held, given)


def _shown(leaf: Any, known: Mapping[int, OnGpu], own: set[int]) -> Any:
    """A result as a tensor of the GPU; never one that the host goes on using."""
    if not isinstance(leaf, Tensor):
        return leaf
    if id(leaf) in known:
        return known[id(leaf)]
    return OnGpu(leaf.clone() if id(leaf) in own else leaf)


def _again(func: Any, held: Any, found: Any) -> Callable[[], None]:
    """Do an operation once more, with its results where they were the first time."""
    places = [leaf for leaf in tree_flatten(found)[0] if isinstance(leaf, Tensor)]

    def again() -> None:
        results = [leaf for leaf in tree_flatten(func(*held[0], **held[1]))[0] if isinstance(leaf, Tensor)]
        for place, result in zip(places, results, strict=True):
            if place is not result and place.data_ptr() != result.data_ptr():
                place.copy_(result)

    return again


class FakeLauncher(OnShim):
    """Launches on the tensors that hold the numbers."""

    def __init__(self, shim: Shim, gpu: FakeGpu) -> None:
        super().__init__(shim)
        self.gpu = gpu

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """All arrays must be on the GPU."""
        check(launch.kernel, launch.constants, arguments)
        arrays = [value for value in arguments.values() if isinstance(value, Tensor)]
        assert all(isinstance(array, OnGpu) for array in arrays), f"{launch.kernel.name}: arrays of the host"
        held = {name: each.numbers if isinstance(each, OnGpu) else each for name, each in arguments.items()}

        self.gpu.launched[launch.kernel.name] += 1
        if self.gpu.memory != HOST:
            return
        again = partial(super().launch, launch, held)
        again()
        if self.gpu.captured is not None:
            self.gpu.captured.append(again)


class Graph:
    """In the place of torch.cuda.CUDAGraph."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.operations = gpu, list[Callable[[], None]]()

    def replay(self) -> None:
        """All operations in their order."""
        self.gpu.replays += 1
        for operation in self.operations:
            operation()


class Stream:
    """In the place of torch.cuda.Stream; there is but one order of things."""

    def wait_stream(self, stream: "Stream") -> None:
        """Nothing is ever under way."""


def _causal_lower_right(queries: int, keys: int) -> CausalBias:
    """Made outside of all modes: torch cannot make its own kind of tensor of what a mode has seen."""
    with _disable_current_modes():
        return causal_lower_right(queries, keys)


@contextmanager
def fake_gpu(shim: Shim, monkeypatch: pytest.MonkeyPatch, memory: torch.device = HOST) -> Iterator[FakeGpu]:
    """Let torch and the engine find a GPU, in this thread and in those of engines.

    With "meta" for memory there are shapes alone, and room for everything; nothing can be read back.
    """
    gpu = FakeGpu(memory)

    @contextmanager
    def capture(graph: Graph, pool: object, capture_error_mode: str) -> Iterator[None]:
        assert capture_error_mode == "thread_local", "the threads that prepare requests go on"
        assert pool is not None
        gpu.captured, gpu.graphs = [], gpu.graphs + 1
        try:
            yield
            graph.operations = gpu.captured
        finally:
            gpu.captured = None

    @contextmanager
    def stream(_: Stream) -> Iterator[None]:
        yield

    run = Loop._run

    def run_on_gpu(loop: Loop) -> None:
        with gpu.entered():
            run(loop)

    on_gpu = FakeLauncher(shim, gpu)
    for name, stand_in in {
        "_lazy_init": lambda: None,
        "mem_get_info": lambda _: (MEMORY, MEMORY),
        "CUDAGraph": lambda: Graph(gpu),
        "graph": capture,
        "graph_pool_handle": object,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(attention, "causal_lower_right", _causal_lower_right)
    monkeypatch.setattr(serving_device, "device_fault", lambda _: None)
    monkeypatch.setattr(launcher, "of", lambda _: on_gpu)
    monkeypatch.setattr(Loop, "_run", run_on_gpu)
    with gpu.entered():
        yield gpu
