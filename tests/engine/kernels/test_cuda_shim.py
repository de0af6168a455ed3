"""The stand-in for a GPU itself: its intrinsics give what the manuals say, and mistakes do not pass."""

import pytest
import torch
from torch import Tensor

from engine.kernels.cuda.launch import ELEMENTS, Argument, Kernel, Launch
from tests.engine.kernels.cuda_shim.harness import SHIM, Given, KernelFailed, Shim

pytestmark = pytest.mark.slow

NUMBERS = (Argument("out", "int32", "L"), Argument("length", "int32"))


def check(name: str, arguments: tuple[Argument, ...], element: str = "float", shared: int = 0) -> Launch:
    """One thread block of two warps, or of one for `product`."""
    kernel = Kernel(name, str(SHIM / "checks.cu"), ("ELEMENT",), arguments)
    return Launch(kernel, {"ELEMENT": element}, (1, 1, 1), 32 if name == "product" else 64, shared)


def run(shim: Shim, name: str, length: int, shared: int = 0) -> Tensor:
    """What a kernel of one array of 64 and a number leaves there."""
    out = torch.arange(64, dtype=torch.int32)
    return shim.run(check(name, NUMBERS, shared=shared), {"out": out, "length": length})["out"]


def test_the_tensor_cores_multiply_as_the_manual_says(shim: Shim) -> None:
    """Every product of signed bytes, their extremes among them."""
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-128, 128, (n, 32), dtype=torch.int8, generator=draw) for n in (16, 8))
    a[0], b[0] = -128, -128
    arguments = (Argument("a", "int8", "16 32"), Argument("b", "int8", "8 32"))
    out = Argument("out", "int32", "16 8", written=True)

    found = shim.run(
        check("product", (*arguments, out)),
        {"a": a, "b": b, "out": torch.empty(16, 8, dtype=torch.int32)},
    )

    assert torch.equal(found["out"], (a.long() @ b.long().T).int())


@pytest.mark.parametrize("element", [torch.bfloat16, torch.float16], ids=str)
def test_hidden_states_are_narrowed_and_widened_as_torch_does(shim: Shim, element: torch.dtype) -> None:
    """Every number of the narrow type, and what lies between: halves, overflow and the smallest ones."""
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(element).float()
    some = every[every.isfinite()]
    x = torch.cat((some, some * (1 + 2**-9), some * (1 + 2**-12), some * 1.5, torch.tensor([float("inf")])))
    arguments = (
        Argument("in", "float32", "L"),
        Argument("narrowed", "element", "L", written=True),
        Argument("widened", "float32", "L", written=True),
        Argument("length", "int32"),
    )

    found = shim.run(
        check("convert", arguments, ELEMENTS[element]),
        {"in": x, "narrowed": x.to(element), "widened": torch.empty_like(x), "length": len(x)},
    )

    assert torch.equal(found["narrowed"], x.to(element))
    assert torch.equal(found["widened"], x.to(element).float())


@pytest.mark.parametrize(
    ("name", "length", "shared", "said"),
    [
        ("overrun", 1, 0, "heap-buffer-overflow"),
        ("shared_overrun", 16, 64, "heap-buffer-overflow"),
        ("leaves_early", 0, 0, "a thread left while others of its block wait"),
        ("splits_a_warp", 0, 0, "wait for each other for ever"),
    ],
)
def test_a_mistake_stops_the_kernel(shim: Shim, name: str, length: int, shared: int, said: str) -> None:
    """A step beyond an array by one element, and threads that do not meet."""
    with pytest.raises(KernelFailed, match=said):
        run(shim, name, length, shared)


def test_a_copy_has_not_arrived_before_it_was_waited_for(shim: Shim) -> None:
    """What is read too early is the junk that shared memory starts with."""
    expected = torch.arange(1, 65, dtype=torch.int32)

    assert torch.equal(run(shim, "copies", 0, shared=256), expected)
    assert not (run(shim, "copies", 1, shared=256) == expected).any()


def test_what_a_kernel_writes_is_poisoned_first(shim: Shim) -> None:
    """A kernel that forgets an element cannot be right by accident."""
    arguments = (Argument("out", "int32", "L", written=True), Argument("length", "int32"))
    given: dict[str, Given] = {"out": torch.zeros(64, dtype=torch.int32), "length": 8}

    found = shim.run(check("shared_overrun", arguments, shared=64), given)["out"]

    assert not (found[1:] == 0).any()
