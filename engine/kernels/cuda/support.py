"""Whether a GPU can run the kernels, and if not, why and what fixes it."""

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

import torch

PACKAGES = ("cuda.core", "cuda.bindings")
"""The modules of the `cuda` extra that the kernels need; they find the compiler themselves."""

LOWEST = (8, 0)
"""The first architecture with the int8 tensor operations and asynchronous copies that the kernels use."""

_INSTALL = "pip install 'lynceus[cuda]'"


class Fault(NamedTuple):
    """What keeps a device from being used, and what a person can do about it."""

    detail: str
    hint: str


class Card(NamedTuple):
    """A GPU: its name, its compute capability, and the version of CUDA that the driver knows."""

    name: str
    capability: tuple[int, int]
    driver: tuple[int, int]


def device_fault(index: int) -> Fault | None:
    """Why the GPU of this number cannot run the kernels; None where it can."""
    fault = _torch_fault(index) or _packages_fault()
    if fault is not None:
        return fault
    from engine.kernels.cuda import compiler  # noqa: PLC0415 - not there without the packages

    try:
        return card_fault(_card(index), compiler.compiler_version(), compiler.architectures())
    except RuntimeError as error:
        return Fault(f"CUDA's libraries do not load: {error}", _INSTALL)


def card_fault(card: Card, compiler: tuple[int, int], architectures: Sequence[int]) -> Fault | None:
    """As `device_fault`, for a card and a compiler with its architectures."""
    major, minor = card.capability
    if card.capability < LOWEST:
        return Fault(
            f"{card.name} has compute capability {major}.{minor} and the kernels need 8.0",
            'use a card of the Ampere generation or newer, or the device "cpu"',
        )
    if card.driver[0] < compiler[0]:
        return Fault(
            f"the driver of {card.name} knows CUDA {card.driver[0]}.{card.driver[1]} "
            f"and the kernels are compiled for CUDA {compiler[0]}.{compiler[1]}",
            f"update the NVIDIA driver to one for CUDA {compiler[0]} or newer",
        )
    if architecture(card.capability, architectures) is None:
        return Fault(
            f"{card.name} has compute capability {major}.{minor}, which CUDA {compiler[0]}.{compiler[1]} "
            "cannot compile for",
            "install a newer nvidia-cuda-nvrtc with a driver to match",
        )
    return None


def architecture(capability: tuple[int, int], architectures: Sequence[int]) -> str | None:
    """The newest that the card runs: machine code serves later minor versions, never other major ones."""
    major, minor = capability
    fitting = [number for number in architectures if number // 10 == major and number % 10 <= minor]
    return f"sm_{max(fitting)}" if fitting else None


def _torch_fault(index: int) -> Fault | None:
    if torch.version.cuda is None:
        release, _, _ = torch.__version__.partition("+")
        return Fault(
            "torch sees no GPU, it was built without CUDA", f"install the build of torch {release} for CUDA"
        )
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return Fault(f"torch sees no GPU: {error}", "install or update the NVIDIA driver")
    present = torch.cuda.device_count()
    if index >= present:
        return Fault(f"cuda:{index} was asked for and torch sees {present} GPUs", "use a lower number")
    return None


def _packages_fault() -> Fault | None:
    for name in PACKAGES:
        parent = name.partition(".")[0]
        if importlib.util.find_spec(parent) is None or importlib.util.find_spec(name) is None:
            return Fault(f"the package {name} is missing", _INSTALL)
    return None


def _card(index: int) -> Card:
    from cuda.bindings import driver  # noqa: PLC0415 - not there without the packages

    properties = torch.cuda.get_device_properties(index)
    _, version = driver.cuDriverGetVersion()
    return Card(
        properties.name, (properties.major, properties.minor), (version // 1000, version % 1000 // 10)
    )
