"""Small networks that a kernel computes in one call, of matrices that either kind of kernels has made."""

from typing import Any, NamedTuple

from torch import Tensor


class FeedForward(NamedTuple):
    """`down(silu(gate x) * up x)`, or `down(quick_gelu(up x))` where there is no gate.

    `up` and `gate` are `[I, H]`, `down` is `[H, I]` with `channels` H; biases are `[I]` and `[H]`.
    """

    gate: Any
    up: Any
    down: Any
    channels: int
    up_bias: Tensor | None = None
    down_bias: Tensor | None = None


class HeldRouter(NamedTuple):
    """Weights `[E, H]`, correction bias `[E]`, experts a token, and the least that weights are divided by."""

    weight: Tensor
    bias: Tensor
    top_k: int
    norm_min: float
