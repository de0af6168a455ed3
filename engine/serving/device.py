"""Which device the engine runs on, and in which precision."""

import logging
from pathlib import Path

import torch

from engine.errors import DeviceUnavailable
from engine.kernels.cuda.support import device_fault

_log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The device for "cpu", "cuda", "cuda:1" or "auto"; raises DeviceUnavailable where it cannot be used.

    "auto" is the first GPU where it runs our kernels; else the processor, and the log says why.
    """
    if name == "auto":
        return _first_usable()
    kind, _, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceUnavailable(f"the device {name!r} is unknown", 'use "cpu", "cuda:0" or "auto"')
    number = int(index or 0)
    fault = device_fault(number)
    if fault is not None:
        raise DeviceUnavailable(f"{name} cannot be used: {fault.detail}", f'{fault.hint}, or use "cpu"')
    return torch.device("cuda", number)


def _first_usable() -> torch.device:
    fault = device_fault(0)
    if fault is None:
        return torch.device("cuda", 0)
    _log.info("the model runs on the processor: %s (to use a GPU: %s)", fault.detail, fault.hint)
    return torch.device("cpu")


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision by its name; "auto" is bfloat16 on a GPU and float32 on the processor."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return DTYPES[name]


def keep_compiled(device: torch.device, directory: Path) -> None:
    """Keep what is compiled for a GPU in a directory; nothing is for the processor."""
    if device.type == "cuda":
        from engine.kernels.cuda import launcher  # noqa: PLC0415 - loads CUDA's libraries

        launcher.keep_compiled_in(directory)
