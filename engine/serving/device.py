"""Which device the engine runs on, and in which precision."""

import torch

from engine.errors import DeviceUnavailable

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The device for "cpu", "cuda", "cuda:1" or "auto"; raises DeviceUnavailable where it is not there."""
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceUnavailable(f"the device {name!r} is unknown", 'use "cpu", "cuda:0" or "auto"')
    number = int(index or 0)
    present = torch.cuda.device_count()
    if number >= present:
        raise DeviceUnavailable(
            f"{name} was asked for and torch sees {present} GPUs",
            'check the driver and the CUDA build of torch, or use "cpu"',
        )
    return torch.device("cuda", number)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision by its name; "auto" is bfloat16 on a GPU and float32 on the processor."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return DTYPES[name]
