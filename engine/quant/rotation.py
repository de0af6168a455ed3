"""The input-side rotation: random signs, then a Hadamard transform of each 128 rows.

It makes a channel's weights look Gaussian along their inputs, and spreads an activation's outliers over
a block (QuIP#, Tseng et al. 2024).
"""

from functools import cache

import torch
from torch import Tensor

from engine.format.layout import HADAMARD_BLOCK


def check_rows(rows: int) -> None:
    """Raise ValueError unless so many input rows can be rotated."""
    if rows % HADAMARD_BLOCK:
        raise ValueError(f"{rows} input rows cannot be rotated: they must be a multiple of {HADAMARD_BLOCK}")


def random_signs(rows: int, seed: int) -> Tensor:
    """`[rows]` of +1 and -1, int8; the seed is the layer's, so that all its experts share one transform."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (rows,), generator=generator, dtype=torch.int8) * 2 - 1


@cache
def _hadamard(size: int) -> Tensor:
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)))
    return matrix * size**-0.5


def rotate(x: Tensor, signs: Tensor) -> Tensor:
    """Rotate the last axis of `[..., K]`, K a multiple of 128; products of rotated pairs are unchanged."""
    flipped = x * signs.to(x.dtype)
    blocks = flipped.unflatten(-1, (-1, HADAMARD_BLOCK))
    return (blocks @ _hadamard(HADAMARD_BLOCK).to(x.device, x.dtype)).flatten(-2)


def rotate_back(x: Tensor, signs: Tensor) -> Tensor:
    """The inverse of `rotate`."""
    blocks = x.unflatten(-1, (-1, HADAMARD_BLOCK)) @ _hadamard(HADAMARD_BLOCK).to(x.device, x.dtype)
    return blocks.flatten(-2) * signs.to(x.dtype)
