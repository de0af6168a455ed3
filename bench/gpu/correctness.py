"""Every kernel against its reference on fresh random inputs; values that differ are counted.

What is computed in integers and then in fp32 must agree bit for bit. Experts may differ a little: a gate's
exponential is rounded differently from device to device, and an activation on the edge then falls to the next
integer.
"""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from bench.gpu.checks import CLOSE, Check, Kind, differing
from bench.gpu.kernels import ops_of
from bench.gpu.setting import Part, Setting
from bench.gpu.targets import WRONG
from engine.format.activations import multiply, quantize_activations
from engine.format.code import decode
from engine.format.layout import SEGMENT, SPREAD, WINDOW_BITS
from engine.model.compressed import GroupsLinear, RowsLinear
from engine.quant import encoder, segments
from engine.quant.groups import group_shapes

Stack = tuple[Tensor, Tensor, Tensor]

EXPERTS, TOP_K = 8, 2
TOKENS = (1, 2, 3, 8, 9, 17, 33, 129)
"""Each size that a thread block takes at once, and more than the largest."""
EXPERT_TOKENS = (1, 2, 3, 8, 20, 100, 200, 700)
"""The same for two of eight experts a token."""
SMALL = 512, 256
WIDTHS = {"text": (2560, 1536), "vision": (2560, 512)}
"""Hidden and expert sizes of the 28B model."""


def counted(kind: Kind, name: str, setting: Setting) -> None:
    """Write down for each check of a kind how many values differ."""
    for check in kind(setting):
        setting.rows.add(WRONG, differing(check), "values", f"{name}: {check.what}")


def parts(setting: Setting) -> dict[str, Part]:
    """Each kind of kernel by itself, so that one that fails leaves the others."""
    kinds: dict[str, Kind] = {"linear": linear, "experts": experts, "encode": encode}
    if setting.on_gpu:
        from bench.gpu import correctness_steps as steps

        kinds |= {f"experts of the 28B model, {name}": partial(full_experts, name) for name in WIDTHS}
        kinds |= steps.KINDS
    return {name: Part(partial(counted, kind, name), (WRONG,)) for name, kind in kinds.items()}


def linear(setting: Setting) -> Iterator[Check]:
    """Products with 8-bit and 4-bit weights, for few tokens and many."""
    ops, channels, rows = ops_of(setting.device), 300, 640
    codes8 = setting.whole(-127, 128, channels, rows).to(torch.int8)
    scales8 = torch.rand(channels, generator=setting.draw, device=setting.device) / rows
    nibbles, group_scales = group_shapes(channels, rows)
    codes4 = setting.whole(0, 256, *nibbles, dtype=torch.uint8)
    scales4 = torch.randn(group_scales, generator=setting.draw, device=setting.device).half() / rows
    matrix8, matrix4 = ops.rows8(codes8, scales8), ops.groups4(codes4, scales4, channels)
    eight = RowsLinear(codes8.cpu(), scales8.cpu(), channels, None)
    four = GroupsLinear(codes4.cpu(), scales4.cpu(), channels, None)
    for tokens in TOKENS:
        x = setting.normal(tokens, rows).float()
        yield Check(f"8 bits, {tokens} tokens", ops.linear(matrix8, channels, x), eight.reference(x.cpu()))
        yield Check(f"4 bits, {tokens} tokens", ops.linear(matrix4, channels, x), four.reference(x.cpu()))


def experts(setting: Setting) -> Iterator[Check]:
    """Both projections with SwiGLU, at every window width, from one token to blocks of many."""
    for window_bits in WINDOW_BITS:
        yield from _experts(setting, SMALL, window_bits, EXPERT_TOKENS, torch.float32)


def full_experts(name: str, setting: Setting) -> Iterator[Check]:
    """At the sizes of the 28B model, in the type that its hidden states have there."""
    yield from _experts(setting, WIDTHS[name], WINDOW_BITS[0], (1, 8, 40, 700), setting.dtype)


def _experts(
    setting: Setting, widths: tuple[int, int], window_bits: int, counts: tuple[int, ...], dtype: torch.dtype
) -> Iterator[Check]:
    hidden, size = widths
    gate_up, down = setting.stack(EXPERTS, 2 * size, hidden), setting.stack(EXPERTS, hidden, size)
    ops, reference = ops_of(setting.device), Reference(gate_up, down, window_bits)
    held = ops.hold_experts(gate_up, down, window_bits)
    for tokens in counts:
        x = setting.normal(tokens, hidden).to(dtype)
        chosen, weights = setting.chosen(tokens, TOP_K, EXPERTS), setting.weights(tokens, TOP_K)
        found = ops.run_experts(held, x, chosen, weights)
        expected = reference(x.float().cpu(), chosen.cpu(), weights.cpu())
        yield Check(f"{hidden} to {size}, L = {window_bits}, {tokens} tokens", found, expected, CLOSE)


class Reference:
    """Experts computed on the processor; each matrix is decoded once."""

    def __init__(self, gate_up: Stack, down: Stack, window_bits: int) -> None:
        self._stacks = [tuple(part.cpu() for part in stack) for stack in (gate_up, down)]
        self._window_bits = window_bits
        self._values = cache(self._decode)

    def __call__(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """`[T, H] -> [T, H]`."""
        out = torch.zeros_like(x)
        for expert in chosen.unique().tolist():
            token, slot = torch.where(chosen == expert)
            gate, up = self._product(0, expert, x[token]).chunk(2, dim=-1)
            y = self._product(1, expert, silu(gate) * up)
            out.index_add_(0, token, y * weights[token, slot, None])
        return out

    def _product(self, stack: int, expert: int, x: Tensor) -> Tensor:
        _, scales, signs = self._stacks[stack]
        quantized = quantize_activations(x, signs)
        return multiply(self._values(stack, expert), None, quantized) * scales[expert].float()

    def _decode(self, stack: int, expert: int) -> Tensor:
        return torch.from_numpy(decode(self._stacks[stack][0][expert].numpy(), self._window_bits))


def encode(setting: Setting) -> Iterator[Check]:
    """The search for the best bytes, the largest targets among them."""
    for window_bits, count in zip(WINDOW_BITS[:2], (5, 1), strict=True):
        weights = torch.randn(count, SEGMENT, 4, generator=setting.draw, device=setting.device) * SPREAD
        weights[0, ::2] = 1000.0
        targets = segments.targets_of(weights)
        found = segments.encode(targets, window_bits)
        expected = encoder.encode(np.ascontiguousarray(targets.cpu().numpy()), window_bits)
        yield Check(f"L = {window_bits}, {count} segments", found, torch.from_numpy(expected))
