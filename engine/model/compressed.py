"""The layers of a compressed checkpoint: they compute with the codes as they are stored.

Each multiplies int8 activations with integers of 2, 4 or 8 bits. The kernels of the device do it where it has
some; elsewhere the reference does, with the same integers. A layer does not copy its weights: they may be in
a mapped file.

T tokens, N output channels, K input rows, E experts, I expert size
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from engine.kernels import Kernels, kernels_for
from engine.model.experts import Experts, Router
from engine.model.formats import CODES, GROUP_SCALE, ROW_SCALE, SCALES, SIGNS, Format
from engine.quant.activations import multiply, quantize_activations
from engine.quant.code import decode
from engine.quant.groups import decode_groups
from engine.quant.rows import decode_rows

Parts = Mapping[str, Tensor]
"""The stored tensors of a weight by suffix, as `formats.parts_of` lists them."""


class _Held(nn.Module, ABC):
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


class CompressedLinear(_Held):
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


class TwoBitExperts(_Held):
    """E SwiGLU networks in 2 bits; a token's output is the weighted sum over its experts.

    Codes `[E, N/128, K/4, 128]`, scales fp16 `[E, N]` and signs int8 `[K]`; N = 2I for `gate_up`.
    """

    gate_up_codes: Tensor
    gate_up_scales: Tensor
    gate_up_signs: Tensor
    down_codes: Tensor
    down_scales: Tensor
    down_signs: Tensor

    def __init__(self, router: Router, window_bits: int) -> None:
        super().__init__()
        self.router = router
        self.window_bits = window_bits

    def place(self, projection: str, parts: Parts) -> None:
        """Take the codes, scales and signs of "gate_up" or "down"."""
        for suffix in (CODES, SCALES, SIGNS):
            self.register_buffer(projection + suffix.replace(".", "_"), parts[suffix])

    def hold(self, kernels: Kernels) -> Any:  # noqa: ANN401 - a type that only compiled kernels have
        """Experts of the kernels."""
        gate_up = (self.gate_up_codes, self.gate_up_scales, self.gate_up_signs)
        down = (self.down_codes, self.down_scales, self.down_signs)
        return kernels.hold_experts(gate_up, down, self.window_bits)

    def forward(self, x: Tensor) -> Tensor:
        """`[T, hidden] -> [T, hidden]`, adding the experts up in ascending order."""
        if len(x) == 0:
            return x
        kernels = kernels_for(x.device)
        if kernels is None:
            return self.reference(x)
        routing = self.router(x)
        return kernels.run_experts(self.handle(kernels), x, routing.experts, routing.weights).to(x.dtype)

    def reference(self, x: Tensor) -> Tensor:
        """The same, in torch, expert by expert."""
        routing = self.router(x)
        out = torch.zeros_like(x)
        for expert in routing.experts.unique().tolist():
            token, slot = torch.where(routing.experts == expert)
            y = self._run(expert, x[token]) * routing.weights[token, slot, None]
            out = out.index_add(0, token, y.to(out.dtype))
        return out

    def _run(self, expert: int, x: Tensor) -> Tensor:
        both = self._multiply(self.gate_up_codes, self.gate_up_scales, self.gate_up_signs, expert, x)
        gate, up = both.chunk(2, dim=-1)
        return self._multiply(self.down_codes, self.down_scales, self.down_signs, expert, silu(gate) * up)

    def _multiply(self, codes: Tensor, scales: Tensor, signs: Tensor, expert: int, x: Tensor) -> Tensor:
        values = torch.from_numpy(decode(codes[expert].cpu().numpy(), self.window_bits)).to(x.device)
        return multiply(values, None, quantize_activations(x, signs)) * scales[expert].float()


def place(network: nn.Module, name: str, kind: Format, parts: Parts, window_bits: int) -> None:
    """Put the parts of the weight that the parameter `name` stands for in the place of its layer.

    The layer's other parameters stay as they are, to be filled by their names.
    """
    path, _, leaf = name.rpartition(".")
    layer = network.get_submodule(path)
    if kind is Format.TWO_BIT:
        if not isinstance(layer, TwoBitExperts):
            assert isinstance(layer, Experts), f"{name} belongs to no experts"
            layer = TwoBitExperts(layer.router, window_bits)
        layer.place(leaf, parts)
    elif isinstance(layer, nn.Embedding):
        layer = CompressedEmbedding(_linear(kind, parts, layer.num_embeddings, None))
    else:
        assert isinstance(layer, nn.Linear), f"{name} belongs to no linear layer"
        layer = _linear(kind, parts, layer.out_features, layer.bias)
    network.set_submodule(path, layer)


def _linear(kind: Format, parts: Parts, channels: int, bias: nn.Parameter | None) -> CompressedLinear:
    if kind is Format.ROWS8:
        return RowsLinear(parts[""], parts[ROW_SCALE], channels, bias)
    assert kind is Format.GROUPS4, f"a layer cannot compute with {kind}"
    return GroupsLinear(parts[""], parts[GROUP_SCALE], channels, bias)
