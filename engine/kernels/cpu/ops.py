"""The compiled kernels as functions of torch tensors, for weights and activations in the processor's memory.

T tokens, N output channels, K input rows, E experts. Every function takes the `level`, one of `levels()`; the
empty string means the best that the processor runs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.kernels.cpu import _native
from engine.kernels.networks import FeedForward, HeldRouter

BEST = ""

Matrix = _native.Matrix
Experts = _native.Experts


def levels() -> list[str]:
    """The instruction sets that this processor runs, the best first."""
    return _native.levels()


def two_bit(codes: Tensor, scales: Tensor, window_bits: int) -> Matrix:
    """A matrix of codes `[N/128, K/4, 128]` and fp16 scales `[N]`, which it keeps; K in whole blocks."""
    return _native.Matrix.two_bit(codes.numpy(), _half(scales), window_bits)


def rows8(codes: Tensor, scales: Tensor) -> Matrix:
    """A matrix of int8 codes `[N, K]` and fp32 scales `[N]`, which it keeps."""
    return _native.Matrix.rows8(codes.contiguous().view(torch.uint8).numpy(), scales.float().numpy())


def groups4(codes: Tensor, scales: Tensor, channels: int) -> Matrix:
    """A matrix of nibbles `[N/128, K/8, 128, 4]` and fp16 scales `[N/128, K/64, 128]`, which it keeps."""
    return _native.Matrix.groups4(codes.numpy(), _half(scales), channels)


def linear(
    matrix: Matrix,
    channels: int,
    x: Tensor,
    signs: Tensor | None = None,
    bias: Tensor | None = None,
    level: str = BEST,
) -> Tensor:
    """`[T, K] -> [T, N]` fp32, the input rotated first where `signs` `[K]` int8 are given."""
    x = _plain(x)
    out = torch.empty(len(x), channels)
    if len(x) > 0:
        _multiply([matrix], [out], [bias], x, signs, level)
    return out


def linears(matrices: Sequence[Matrix], channels: Sequence[int], x: Tensor) -> tuple[Tensor, ...]:
    """`[T, K] -> [T, N]` fp32 for each matrix on the same input, which is quantised once."""
    x = _plain(x)
    outs = tuple(torch.empty(len(x), count) for count in channels)
    if len(x) > 0:
        _multiply(matrices, outs, [None] * len(outs), x, None, BEST)
    return outs


def _multiply(
    matrices: Sequence[Matrix],
    outs: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    x: Tensor,
    signs: Tensor | None,
    level: str,
) -> None:
    held = [None if bias is None else _plain(bias) for bias in biases]
    _native.linear(
        matrices,
        level,
        torch.get_num_threads(),
        x.data_ptr(),
        len(x),
        _address(signs),
        [_address(bias) for bias in held],
        [out.data_ptr() for out in outs],
    )


def feed_forward(network: FeedForward, x: Tensor, level: str = BEST) -> Tensor:
    """`[T, H] -> [T, H]` fp32."""
    x = _plain(x)
    out = torch.empty(len(x), network.channels)
    if len(x) == 0:
        return out
    up_bias, down_bias = (None if bias is None else _plain(bias) for bias in network[-2:])
    _native.feed_forward(
        network.gate,
        network.up,
        network.down,
        level,
        torch.get_num_threads(),
        x.data_ptr(),
        len(x),
        _address(up_bias),
        _address(down_bias),
        out.data_ptr(),
    )
    return out


def can_rotate(x: Tensor) -> bool:
    """Whether `rotate` takes heads `[T, heads, D]` like these: in fp32, a token's heads side by side."""
    return x.dtype is torch.float32 and x.stride(2) == 1 and x.stride(1) == x.shape[2]


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, neighbours: bool, level: str = BEST) -> Tensor:
    """`[T, heads, D]` turned by the angles `[T, D]`, fp32; pairs are neighbours, or lie half a head apart."""
    cos, sin = cos.contiguous(), sin.contiguous()
    tokens, heads, size = x.shape
    out = torch.empty(x.shape)
    _native.rotate(
        level,
        torch.get_num_threads(),
        x.data_ptr(),
        cos.data_ptr(),
        sin.data_ptr(),
        x.stride(0),
        tokens,
        heads,
        size,
        neighbours,
        out.data_ptr(),
    )
    return out


def can_attend(queries: Tensor, keys: Tensor) -> bool:
    """Whether `attend` takes heads like these: in fp32, of whole vectors."""
    return queries.dtype is torch.float32 and keys.dtype is torch.float32 and queries.shape[-1] % 16 == 0


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, slots: Tensor, lengths: Tensor, level: str = BEST
) -> Tensor:
    """Attention of one new token each of n texts: queries `[n, H, D]` fp32 -> `[n, H, D]`.

    Keys and values `[slots, G, D]` lie in the `slots` `[n, B]` of a text, of which it sees the first ones:
    `lengths` `[n]` of them, at least one.
    """
    queries, slots, lengths = queries.contiguous(), slots.contiguous(), lengths.contiguous()
    assert keys.is_contiguous(), "keys of a layer lie side by side"
    assert values.is_contiguous(), "and so do its values"
    texts, heads, size = queries.shape
    out = torch.empty_like(queries)
    _native.attend(
        level,
        torch.get_num_threads(),
        queries.data_ptr(),
        keys.data_ptr(),
        values.data_ptr(),
        slots.data_ptr(),
        lengths.data_ptr(),
        texts,
        heads,
        keys.shape[1],
        size,
        slots.shape[1],
        out.data_ptr(),
    )
    return out


def hold_experts(
    gate_up: tuple[Tensor, Tensor, Tensor], down: tuple[Tensor, Tensor, Tensor], window_bits: int
) -> Experts:
    """Experts of codes `[E, N/128, K/4, 128]`, fp16 scales `[E, N]` and signs `[K]`, all kept alive."""
    return _native.hold_experts(
        gate_up=gate_up[0].numpy(),
        gate_up_scales=_half(gate_up[1]),
        down=down[0].numpy(),
        down_scales=_half(down[1]),
        signs=gate_up[2].numpy(),
        down_signs=down[2].numpy(),
        window_bits=window_bits,
    )


def route(router: HeldRouter, x: Tensor, level: str = BEST) -> tuple[Tensor, Tensor]:
    """The experts `[T, k]` int64 of tokens `[T, H]`, and their weights `[T, k]` fp32.

    Chosen by softmax with the bias, the lower one first among equals, and weighted without it.
    """
    x, weight, bias = _plain(x), _plain(router.weight), _plain(router.bias)
    chosen = torch.empty(len(x), router.top_k, dtype=torch.int64)
    weights = torch.empty(len(x), router.top_k)
    _native.route(
        level,
        torch.get_num_threads(),
        weight.data_ptr(),
        bias.data_ptr(),
        len(bias),
        router.top_k,
        router.norm_min,
        x.data_ptr(),
        len(x),
        x.shape[1],
        chosen.data_ptr(),
        weights.data_ptr(),
    )
    return chosen, weights


def run_experts(held: Experts, x: Tensor, chosen: Tensor, weights: Tensor, level: str = BEST) -> Tensor:
    """`[T, hidden] -> [T, hidden]` fp32: the sum of the experts `chosen` `[T, k]`, by their `weights`."""
    x, weights, chosen = _plain(x), _plain(weights), chosen.long().contiguous()
    out = torch.empty_like(x)
    _native.run_experts(
        held,
        level,
        torch.get_num_threads(),
        x.data_ptr(),
        len(x),
        chosen.shape[1],
        chosen.data_ptr(),
        weights.data_ptr(),
        out.data_ptr(),
    )
    return out


def decode(codes: Tensor, window_bits: int, level: str = BEST) -> Tensor:
    """Values 0..30 `[N/128, K/4, 128, 4]` of codes `[N/128, K/4, 128]`; K in whole blocks."""
    values = torch.empty(*codes.shape, 4, dtype=torch.uint8)
    _native.decode(level, codes.numpy(), window_bits, values.numpy())
    return values


def quantize(x: Tensor, signs: Tensor | None, level: str = BEST) -> tuple[Tensor, Tensor]:
    """Values int8 `[T, K]` and scales `[T, K/128]` of activations `[T, K]`, K in whole blocks."""
    values, scales = torch.empty(x.shape, dtype=torch.int8), torch.empty(len(x), x.shape[1] // 128)
    given = None if signs is None else signs.numpy()
    _native.quantize(level, _plain(x).numpy(), given, values.numpy(), scales.numpy())
    return values, scales


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _plain(x: Tensor) -> Tensor:
    return x.detach().float().contiguous()


def _half(scales: Tensor) -> "_native.Halves":
    return scales.view(torch.int16).numpy()
