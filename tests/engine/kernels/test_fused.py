"""Kernels that do several steps of a layer in one call: what the separate steps give, at every level."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import silu

from engine.kernels.cpu import ops
from engine.kernels.networks import FeedForward
from engine.model.rope import rotate_adjacent, rotate_halves
from engine.model.vision import quick_gelu
from engine.quant.groups import encode_groups
from engine.quant.rows import encode_rows

LEVELS = ops.levels()
seeds = st.integers(0, 2**31)


def draw(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def eight_bits(seed: int, channels: int, rows: int) -> ops.Matrix:
    """A random matrix by rows."""
    return ops.rows8(*encode_rows(draw(seed, channels, rows) * rows**-0.5))


def four_bits(seed: int, channels: int, rows: int) -> ops.Matrix:
    """A random matrix by groups."""
    return ops.groups4(*encode_groups(draw(seed, channels, rows) * rows**-0.5), channels)


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative to what is expected."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-9))


@settings(max_examples=15, deadline=None)
@given(seed=seeds, count=st.integers(0, 9) | st.sampled_from((241, 500)), last=st.integers(1, 300))
def test_matrices_on_one_input_give_what_each_gives_alone(seed: int, count: int, last: int) -> None:
    """The same bits, of either format and any number of channels."""
    matrices = [four_bits(seed, 256, 256), eight_bits(seed + 1, 128, 256), four_bits(seed + 2, last, 256)]
    channels, x = [256, 128, last], draw(seed + 3, count, 256)

    alone = [ops.linear(matrix, wide, x) for matrix, wide in zip(matrices, channels, strict=True)]

    for found, expected in zip(ops.linears(matrices, channels, x), alone, strict=True):
        assert torch.equal(found, expected)


def test_matrices_of_different_inputs_are_refused() -> None:
    """They cannot share one."""
    with pytest.raises(ValueError, match="same number of rows"):
        ops.linears([eight_bits(0, 128, 256), eight_bits(0, 128, 128)], [128, 128], draw(1, 1, 256))


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=10, deadline=None)
@given(
    seed=seeds,
    count=st.integers(0, 9) | st.sampled_from((241, 500)),
    inner=st.sampled_from((128, 200, 384)),
    gated=st.booleans(),
    biased=st.booleans(),
)
def test_a_network_in_one_call_is_its_layers_one_by_one(
    level: str, seed: int, count: int, inner: int, gated: bool, biased: bool
) -> None:
    """Where the exponential differs in its last bit, a step of int8 may; channels fill a tile or not."""
    x = draw(seed, count, 256)
    up, down = eight_bits(seed + 1, inner, 256), eight_bits(seed + 2, 256, inner)
    gate = eight_bits(seed + 3, inner, 256) if gated else None
    up_bias, down_bias = (draw(seed + 4, inner), draw(seed + 5, 256)) if biased else (None, None)

    raised = ops.linear(up, inner, x, bias=up_bias)
    between = quick_gelu(raised) if gate is None else silu(ops.linear(gate, inner, x)) * raised
    expected = ops.linear(down, 256, between, bias=down_bias)
    found = ops.feed_forward(FeedForward(gate, up, down, 256, up_bias, down_bias), x, level)

    assert distance(found, expected) < 2e-3


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 300])
def test_every_level_gives_the_same_bits_of_a_network(count: int) -> None:
    """A verdict does not depend on the processor that it was computed on."""
    network = FeedForward(four_bits(1, 384, 256), four_bits(2, 384, 256), four_bits(3, 256, 384), 256)
    found = [ops.feed_forward(network, draw(4, count, 256), level) for level in LEVELS]

    assert all(torch.equal(each, found[0]) for each in found)


def test_layers_that_do_not_fit_one_another_are_refused() -> None:
    """Down takes as many rows as up gives channels."""
    up = eight_bits(0, 256, 128)
    with pytest.raises(ValueError, match=r"down must be \[H, I\]"):
        ops.feed_forward(FeedForward(None, up, eight_bits(1, 128, 128), 128), draw(2, 1, 128))
    wrong = FeedForward(eight_bits(2, 128, 128), up, eight_bits(1, 128, 256), 128)
    with pytest.raises(ValueError, match="gate and up must have one shape"):
        ops.feed_forward(wrong, draw(2, 1, 128))


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    count=st.integers(0, 40),
    heads=st.integers(1, 3),
    pairs=st.integers(1, 40),
    neighbours=st.booleans(),
    apart=st.booleans(),
)
def test_heads_are_turned_to_the_same_bits(
    level: str, seed: int, count: int, heads: int, pairs: int, neighbours: bool, apart: bool
) -> None:
    """In one pass, whether the tokens lie side by side or are parts of longer rows."""
    size = 2 * pairs
    x = draw(seed, count, heads * (2 if apart else 1), size)[:, :heads]
    cos, sin = draw(seed + 1, count, size), draw(seed + 2, count, size)

    found = ops.rotate(x, cos, sin, neighbours=neighbours, level=level)

    # With gradients asked for, the model rotates step by step.
    reference = rotate_adjacent if neighbours else rotate_halves
    assert torch.equal(found, reference(x.clone().requires_grad_(), cos, sin).detach())


def attended(queries: Tensor, keys: Tensor, values: Tensor, slots: Tensor, length: int) -> Tensor:
    """The reference for one text: queries `[H, D]`, keys and values `[slots, G, D]`, in double precision."""
    seen = slots[:length]
    shared = len(queries) // keys.shape[1]
    k, v = (part[seen].double().repeat_interleave(shared, 1) for part in (keys, values))
    weights = (torch.einsum("hd,lhd->hl", queries.double(), k) * queries.shape[-1] ** -0.5).softmax(-1)
    return torch.einsum("hl,lhd->hd", weights, v).float()


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    key_heads=st.integers(1, 3),
    shared=st.integers(1, 10),
    size=st.sampled_from((16, 32, 128)),
    loud=st.sampled_from((1.0, 100.0)),
)
def test_a_new_token_sees_the_keys_of_its_own_slots(
    level: str, seed: int, lengths: list[int], key_heads: int, shared: int, size: int, loud: float
) -> None:
    """Wherever they lie in the pool, however many queries share a key, and however sharp the softmax."""
    texts, width = len(lengths), 70
    queries = draw(seed, texts, key_heads * shared, size) * loud
    keys, values = (draw(seed + more, 400, key_heads, size) for more in (1, 2))
    places = torch.Generator().manual_seed(seed)
    slots = torch.stack([torch.randperm(400, generator=places)[:width] for _ in lengths])

    found = ops.attend(queries, keys, values, slots, torch.tensor(lengths), level)
    expected = [attended(queries[i], keys, values, slots[i], length) for i, length in enumerate(lengths)]

    assert torch.allclose(found, torch.stack(expected), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_reaches_only_who_sees_it(level: str, bad: float) -> None:
    """The text behind the bad key notices; its neighbour, whose own slots are sound, does not."""
    keys = draw(0, 40, 1, 16)
    keys[3] = bad
    slots = torch.arange(40).view(2, 20)

    found = ops.attend(draw(1, 2, 2, 16), keys, draw(2, 40, 1, 16), slots, torch.tensor([20, 20]), level)

    assert found[0].isnan().any()
    assert found[1].isfinite().all()


def test_every_level_attends_with_the_same_bits() -> None:
    """Sums of lanes have one order."""
    keys, values, slots = draw(0, 64, 2, 32), draw(1, 64, 2, 32), torch.arange(64).view(2, 32)
    queries, lengths = draw(2, 2, 10, 32), torch.tensor([7, 32])

    found = [ops.attend(queries, keys, values, slots, lengths, level) for level in LEVELS]

    assert all(torch.equal(each, found[0]) for each in found)
