"""Whether the machine has the GPU that was asked for, told before torch, which takes seconds, is loaded."""

import ctypes
from collections.abc import Callable

from services.infra.process.errors import DeviceMissing

DRIVER_LIBRARY = "libcuda.so.1"
"""Comes with the NVIDIA driver; into a container it is brought by NVIDIA's container toolkit."""

HINT = (
    "a GPU needs the NVIDIA driver, in a container also the NVIDIA container toolkit and "
    "`-f docker-compose.yml -f compose.gpu.yml`; without one set LYNCEUS_DEVICE=cpu"
)


def require_gpu(device: str, count: Callable[[], int] | None = None) -> None:
    """Raises DeviceMissing where `device` names a GPU and the driver has none; `count` is how many it has."""
    if not device.startswith("cuda"):
        return
    try:
        found = (count or gpu_count)()
    except OSError as absent:
        raise DeviceMissing(
            f"{device} was asked for, and there is no NVIDIA driver: {absent}", hint=HINT
        ) from absent
    if found == 0:
        raise DeviceMissing(f"{device} was asked for, and the NVIDIA driver has no GPU to give", hint=HINT)


def gpu_count() -> int:
    """How many GPUs the driver shows; OSError where there is no driver."""
    driver, count = ctypes.CDLL(DRIVER_LIBRARY), ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
