"""Linear layers of a compressed checkpoint: they compute with the codes as they are stored.

Each multiplies int8 activations with integers of 2, 4 or 8 bits. The kernels of the device do it where it has
some; elsewhere the reference does, with the same integers. A layer does not copy its weights: they may be in
a mapped file.

T tokens, N output channels, K input rows
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.format.activations import multiply, quantize_activations
from engine.kernels import Kernels, kernels_for
from engine.kernels.networks import FeedForward
from engine.quant.groups import decode_groups
from engine.quant.rows import decode_rows


class Held(nn.Module, ABC):
    """Keeps a handle of the kernels on the weights, made at first use."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def handle(self, kernels: Kernels) -> Any:  # noqa: ANN401 - a matrix or experts, as the subclass says
        """The kernels' view of the weights."""
        if self._handle is None:
            self._handle = self.hold(kernels)
        return self._handle

    @abstractmethod
    def hold(self, kernels: Kernels) -> Any:  # noqa: ANN401 - as above
        """Make it."""


class CompressedLinear(Held):
    """`x W^T + bias` with W `[N, K]` in 8 bits by rows or in 4 bits by groups."""

    codes: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, channels: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.channels = channels
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """`[..., K] -> [..., N]`."""
        flat = x.reshape(-1, x.shape[-1])
        kernels = kernels_for(x.device)
        if kernels is not None:
            out = kernels.linear(self.handle(kernels), self.channels, flat, bias=self.bias)
        else:
            out = self.reference(flat)
        return out.view(*x.shape[:-1], self.channels).to(x.dtype)

    @abstractmethod
    def reference(self, x: Tensor) -> Tensor:
        """`[T, K] -> [T, N]` fp32, in torch."""

    @abstractmethod
    def rows(self, indices: Tensor) -> Tensor:
        """The weights `[n, K]` fp32 of some output channels."""


class RowsLinear(CompressedLinear):
    """Codes int8 `[N, K]`, scales fp32 `[N]`."""

    def hold(self, kernels: Kernels) -> Any:  # noqa: ANN401 - a type that only compiled kernels have
        """A matrix of the kernels."""
        return kernels.rows8(self.codes, self.scales)

    def reference(self, x: Tensor) -> Tensor:
        """As above."""
        out = multiply(self.codes, None, quantize_activations(x)) * self.scales
        return out if self.bias is None else out + self.bias

    def rows(self, indices: Tensor) -> Tensor:
        """As above."""
        return decode_rows(self.codes[indices], self.scales[indices])


class GroupsLinear(CompressedLinear):
    """Nibbles `[N/128, K/8, 128, 4]`, scales fp16 `[N/128, K/64, 128]`."""

    def hold(self, kernels: Kernels) -> Any:  # noqa: ANN401 - a type that only compiled kernels have
        """A matrix of the kernels."""
        return kernels.groups4(self.codes, self.scales, self.channels)

    def reference(self, x: Tensor) -> Tensor:
        """As above."""
        values = decode_groups(self.codes, torch.ones_like(self.scales), self.channels)
        scales = self.scales.float().transpose(1, 2).flatten(0, 1)[: self.channels]
        out = multiply(values, scales, quantize_activations(x))
        return out if self.bias is None else out + self.bias

    def rows(self, indices: Tensor) -> Tensor:
        """As above."""
        tiles, channels = indices // self.codes.shape[2], indices % self.codes.shape[2]
        codes, scales = self.codes[tiles, :, channels], self.scales[tiles, :, channels]
        return decode_groups(codes[:, :, None], scales[:, :, None], len(indices))


class CompressedEmbedding(nn.Module):
    """A table of embeddings compressed by rows or groups; `engine.model.embedding` says what it does."""

    def __init__(self, table: CompressedLinear) -> None:
        super().__init__()
        self.table = table

    def forward(self, token_ids: Tensor) -> Tensor:
        """`[T] -> [T, hidden]` fp32."""
        return self.table.rows(token_ids)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits `[t, V]` of hidden states `[t, hidden]`."""
        return self.table(hidden)


def project(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """What each layer makes of the same input, `[T, K] -> [T, N]`; compressed ones round it once."""
    kernels = kernels_for(x.device)
    compressed = [layer for layer in layers if isinstance(layer, CompressedLinear) and layer.bias is None]
    if kernels is None or len(compressed) < len(layers):
        return tuple(layer(x) for layer in layers)
    matrices = [layer.handle(kernels) for layer in compressed]
    outs = kernels.linears(matrices, [layer.channels for layer in compressed], x)
    return tuple(out.to(x.dtype) for out in outs)


def feed_forward(gate: nn.Module | None, up: nn.Module, down: nn.Module, x: Tensor) -> Tensor | None:
    """`down(silu(gate x) * up x)`, or with no gate `down(quick_gelu(up x))`, in one call, `[T, H] -> [T, H]`.

    None where the layers are not compressed, or the device has no kernels: step by step then.
    """
    kernels = kernels_for(x.device)
    if kernels is None or not isinstance(up, CompressedLinear) or not isinstance(down, CompressedLinear):
        return None
    if gate is not None and not isinstance(gate, CompressedLinear):
        return None
    held = None if gate is None else gate.handle(kernels)
    out = kernels.feed_forward(
        FeedForward(held, up.handle(kernels), down.handle(kernels), down.channels, up.bias, down.bias),
        x,
    )
    return out.to(x.dtype)
