"""Importing FastDeploy's 2-bit tensors, which an encoder of the test's own writes here."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.quant.wint2 import RowOrder, decode_wint2, row_order

CHANNELS, ROWS = 12, 256
Array = NDArray[np.float32]


def _stored_row(row: int) -> int:
    """Where the fast kernels expect logical row (b, a, c) of a group of 64: at position (a, b, c)."""
    group, inside = divmod(row, 64)
    b, rest = divmod(inside, 8)
    a, c = divmod(rest, 2)
    return group * 64 + a * 16 + b * 2 + c


def _words(code_scale: float, code_zp: float) -> list[list[int]]:
    """The four integers that each byte stands for, bit by bit."""
    words = []
    for byte in range(256):
        bits = f"{int(np.floor(byte * code_scale + code_zp + 0.5)):015b}"
        words.append([int(bits[start : start + 6], 2) - 32 for start in (0, 3, 6, 9)])
    return words


def _encoded(weight: Array, order: RowOrder) -> tuple[dict[str, torch.Tensor], Array]:
    """Tensors for a weight `[K, N]` by trying all 256 bytes, and the weight they stand for."""
    rows, channels = weight.shape
    places = [_stored_row(row) if order is RowOrder.INTERLEAVED else row for row in range(rows)]
    stored = np.empty_like(weight)
    stored[places] = weight
    codes = np.zeros((rows // 4, channels), np.uint8)
    local = np.zeros((rows // 128, channels), np.uint8)
    code_scale, code_zp = np.full(channels, 120.9, np.float32), np.full(channels, 1570.0, np.float32)
    supers = (np.abs(weight).max(0) / (32 * 15)).astype(np.float32)
    kept = np.zeros_like(weight)
    for n in range(channels):
        words = np.array(_words(float(code_scale[n]), float(code_zp[n])), np.float32)
        for group in range(rows // 64):
            part = stored[group * 64 : group * 64 + 64, n]
            scale = int(np.clip(np.ceil(np.abs(part).max() / (31 * supers[n])), 1, 15))
            local[group // 2, n] |= scale << (4 if group % 2 == 0 else 0)
            for quad in range(16):
                values = words * scale * supers[n]
                best = int(((values - part[quad * 4 : quad * 4 + 4]) ** 2).sum(1).argmin())
                codes[group * 16 + quad, n] = best
                kept[group * 64 + quad * 4 : group * 64 + quad * 4 + 4, n] = values[best]
    arrays = {
        "quant_weight": codes,
        "weight_scale": local,
        "super_scales": supers,
        "code_scale": code_scale,
        "code_zp": code_zp,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, kept[places]


@pytest.fixture(scope="module")
def weight() -> Array:
    """Gaussian weights `[K, N]`."""
    return np.random.default_rng(8).normal(0, 0.02, (ROWS, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("order", RowOrder)
def test_tensors_decode_to_what_their_encoder_meant(weight: Array, order: RowOrder) -> None:
    """In both orders of rows, value for value."""
    tensors, meant = _encoded(weight, order)

    assert np.allclose(decode_wint2(tensors, order).numpy().T, meant, rtol=1e-6, atol=0)


@pytest.mark.parametrize("order", RowOrder)
def test_the_order_of_rows_is_told_by_the_original(weight: Array, order: RowOrder) -> None:
    """A checkpoint does not say which order it has; the bf16 weights do."""
    tensors, _ = _encoded(weight, order)
    original = torch.from_numpy(weight.T.copy()).bfloat16()

    assert row_order(tensors, original) is order
    with pytest.raises(ValueError, match="neither order"):
        row_order(tensors, original.flip(0))


def test_a_checkpoint_without_super_scales_means_ones(weight: Array) -> None:
    """They are optional in the format."""
    tensors, _ = _encoded(weight, RowOrder.PLAIN)
    supers = tensors.pop("super_scales")
    with_ones = decode_wint2(tensors | {"super_scales": torch.ones_like(supers)}, RowOrder.PLAIN)

    assert torch.equal(decode_wint2(tensors, RowOrder.PLAIN), with_ones)


def test_tensors_of_different_matrices_are_refused(weight: Array) -> None:
    """The error names the tensor and both shapes."""
    tensors, _ = _encoded(weight, RowOrder.PLAIN)
    tensors["code_zp"] = tensors["code_zp"][:-1]

    with pytest.raises(ValueError, match=r"code_zp \[11\] instead of \[12\]"):
        decode_wint2(tensors, RowOrder.PLAIN)
