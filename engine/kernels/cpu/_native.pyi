from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Halves: TypeAlias = npt.NDArray[np.int16]
"""The bits of half-precision numbers."""

def encode(
    values: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int8],
    codes: npt.NDArray[np.uint8],
    *,
    window_bits: int,
    centre: int,
    target_steps: int,
    beam: int,
    threads: int,
    portable: bool = ...,
    level: str = ...,
) -> None: ...
def levels() -> list[str]: ...

class Matrix:
    @staticmethod
    def two_bit(codes: npt.NDArray[np.uint8], scales: Halves, window_bits: int) -> Matrix: ...
    @staticmethod
    def rows8(codes: npt.NDArray[np.uint8], scales: npt.NDArray[np.float32]) -> Matrix: ...
    @staticmethod
    def groups4(codes: npt.NDArray[np.uint8], scales: Halves, channels: int) -> Matrix: ...

class Experts: ...

def hold_experts(
    *,
    gate_up: npt.NDArray[np.uint8],
    gate_up_scales: Halves,
    down: npt.NDArray[np.uint8],
    down_scales: Halves,
    signs: npt.NDArray[np.int8],
    down_signs: npt.NDArray[np.int8],
    window_bits: int,
) -> Experts: ...
def linear(
    matrices: Sequence[Matrix],
    level: str,
    threads: int,
    x: int,
    tokens: int,
    signs: int,
    biases: Sequence[int],
    outs: Sequence[int],
) -> None: ...
def feed_forward(
    gate: Matrix | None,
    up: Matrix,
    down: Matrix,
    level: str,
    threads: int,
    x: int,
    tokens: int,
    up_bias: int,
    down_bias: int,
    out: int,
) -> None: ...
def attend(
    level: str,
    threads: int,
    queries: int,
    keys: int,
    values: int,
    slots: int,
    lengths: int,
    texts: int,
    heads: int,
    key_heads: int,
    size: int,
    width: int,
    out: int,
) -> None: ...
def run_experts(
    experts: Experts,
    level: str,
    threads: int,
    x: int,
    tokens: int,
    top_k: int,
    chosen: int,
    weights: int,
    out: int,
) -> None: ...
def decode(
    level: str, codes: npt.NDArray[np.uint8], window_bits: int, values: npt.NDArray[np.uint8]
) -> None: ...
def quantize(
    level: str,
    x: npt.NDArray[np.float32],
    signs: npt.NDArray[np.int8] | None,
    values: npt.NDArray[np.int8],
    scales: npt.NDArray[np.float32],
) -> None: ...
def rotate(
    level: str,
    threads: int,
    x: int,
    cosines: int,
    sines: int,
    stride: int,
    tokens: int,
    heads: int,
    size: int,
    neighbours: bool,
    out: int,
) -> None: ...
def route(
    level: str,
    threads: int,
    weight: int,
    bias: int,
    experts: int,
    top_k: int,
    norm_min: float,
    x: int,
    tokens: int,
    hidden: int,
    chosen: int,
    weights: int,
) -> None: ...
