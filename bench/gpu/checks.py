"""What a kernel gave beside what it should have given."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bench.gpu.setting import Setting

CLOSE = 0.02
"""By how much of the results' spread experts may differ."""

ROUNDINGS = 4
"""Each expert's result is rounded, and their sum."""


class Check(NamedTuple):
    """What came out, what should have, and by which share of its spread the two may differ.

    Numbers of 16 bits may differ by a few of their own roundings as well.
    """

    what: str
    found: Tensor
    expected: Tensor
    allowed: float = 0.0


Kind = Callable[[Setting], Iterator[Check]]


def differing(check: Check) -> int:
    """How many values are further apart than allowed, or no numbers."""
    found, expected = check.found.detach().cpu().double(), check.expected.detach().cpu().double()
    assert found.shape == expected.shape, f"{check.what}: {tuple(found.shape)} for {tuple(expected.shape)}"
    allowed = check.allowed * expected.square().mean().sqrt()
    if check.found.is_floating_point() and check.found.element_size() == 2:
        allowed = allowed + ROUNDINGS * torch.finfo(check.found.dtype).eps * expected.abs()
    return int((~((found - expected).abs() <= allowed)).sum())
