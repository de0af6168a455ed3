"""Compiles, loads and launches kernels on a GPU, on torch's current stream and torch's memory."""

import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from cuda.bindings import driver
from cuda.core import LEGACY_DEFAULT_STREAM, Device, Kernel, LaunchConfig, ObjectCode, Stream
from cuda.core import launch as launch_kernel
from cuda.core._utils.cuda_utils import CUDAError
from torch import Tensor

from engine.errors import DeviceUnavailable, EngineError, OutOfMemory
from engine.kernels.cuda import compiler
from engine.kernels.cuda.cache import SHIPPED, CubinCache
from engine.kernels.cuda.launch import Argument, Constants, Launch, Value, check
from engine.kernels.cuda.launch import Kernel as Signature
from engine.kernels.cuda.support import architecture

_NUMBERS: Mapping[str, Callable[[Any], Any]] = {"int32": ctypes.c_int32, "float32": ctypes.c_float}


class DeviceLauncher:
    """Launches on one GPU; a kernel is compiled for it, or read from `cubins`, when it is first launched."""

    def __init__(self, index: int, cubins: CubinCache | None) -> None:
        self._device = Device(index)
        self._cubins = cubins
        properties = torch.cuda.get_device_properties(index)
        found = architecture((properties.major, properties.minor), compiler.architectures())
        assert found is not None, f"{properties.name} was not asked about with device_fault"
        self._architecture = found
        self._most_shared: int = self._device.properties.max_shared_memory_per_block_optin
        self.multiprocessors: int = properties.multi_processor_count
        self._modules: dict[compiler.Unit, ObjectCode] = {}
        self._kernels: dict[tuple[str, compiler.Unit], Kernel] = {}

    def launch(self, launch: Launch, arguments: Mapping[str, Value]) -> None:
        """As the protocol says; raises KernelUncompiled, OutOfMemory, DeviceUnavailable."""
        signature = launch.kernel
        check(signature, launch.constants, arguments)
        values = [_passed(each, arguments[each.name]) for each in signature.arguments]
        config = LaunchConfig(grid=launch.grid, block=launch.threads, shmem_size=launch.shared)
        # A thread that has not used the device yet has no context on it.
        self._device.set_current()
        try:
            launch_kernel(self._stream(), config, self.kernel(signature, launch.constants), *values)
        except CUDAError as error:
            raise _typed(signature.name, error) from error

    def kernel(self, signature: Signature, constants: Constants) -> Kernel:
        """The loaded kernel."""
        unit = compiler.unit(signature.source, constants, self._architecture)
        if (signature.name, unit) not in self._kernels:
            kernel = self._module(unit).get_kernel(signature.name)
            self._allow_shared(kernel)
            self._kernels[signature.name, unit] = kernel
        return self._kernels[signature.name, unit]

    def _module(self, unit: compiler.Unit) -> ObjectCode:
        if unit not in self._modules:
            self._modules[unit] = ObjectCode.from_cubin(self._cubin(unit), name=unit.source)
        return self._modules[unit]

    def _cubin(self, unit: compiler.Unit) -> bytes:
        if self._cubins is None:
            return compiler.compile_unit(unit).cubin
        fingerprint = compiler.fingerprint(unit)
        cubin = self._cubins.read(fingerprint)
        if cubin is None:
            cubin = compiler.compile_unit(unit).cubin
            self._cubins.write(fingerprint, cubin)
        return cubin

    def _allow_shared(self, kernel: Kernel) -> None:
        """Let it use as much dynamic shared memory as the device has: without asking, it is 48 KiB."""
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        most = self._most_shared - kernel.attributes.shared_size_bytes
        device = driver.CUdevice(self._device.device_id)
        (result,) = driver.cuKernelSetAttribute(attribute, most, kernel.handle, device)
        assert result == driver.CUresult.CUDA_SUCCESS, f"shared memory was refused: {result}"

    def _stream(self) -> Stream:
        """Torch's current stream; its default stream has no handle of its own."""
        handle = torch.cuda.current_stream(self._device.device_id).cuda_stream
        return Stream.from_handle(handle) if handle else LEGACY_DEFAULT_STREAM


class _Launchers:
    """One launcher for each GPU of this process, and where they keep what they compile."""

    def __init__(self) -> None:
        self._cubins: CubinCache | None = None
        self._by_index: dict[int, DeviceLauncher] = {}

    def keep_compiled_in(self, directory: Path) -> None:
        """Keep compiled kernels in a directory, those that are compiled from now on and were not shipped."""
        self._cubins = CubinCache(directory, SHIPPED)
        self._by_index.clear()

    def of(self, device: torch.device) -> DeviceLauncher:
        """The launcher of a GPU."""
        index = torch.cuda.current_device() if device.index is None else device.index
        if index not in self._by_index:
            self._by_index[index] = DeviceLauncher(index, self._cubins)
        return self._by_index[index]


_LAUNCHERS = _Launchers()
keep_compiled_in = _LAUNCHERS.keep_compiled_in
of = _LAUNCHERS.of


def _passed(argument: Argument, value: Value) -> Any:  # noqa: ANN401 - as cuda.core takes them
    if argument.shape:
        return value.data_ptr() if isinstance(value, Tensor) else 0
    return _NUMBERS[argument.dtype](value)


def _typed(kernel: str, error: CUDAError) -> EngineError:
    if "OUT_OF_MEMORY" in str(error):
        return OutOfMemory(f"{kernel} has too little memory: {error}", "use a smaller batch, or free the GPU")
    return DeviceUnavailable(f"{kernel} failed: {error}", "start again; update the driver if it recurs")
