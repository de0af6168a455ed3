"""The mixture of 2-bit experts: kernels against the reference, however the tokens are spread over experts."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.checkpoint.config import ModelConfig, TextConfig
from engine.checkpoint.formats import CODES, SCALES, SIGNS
from engine.format.layout import WINDOW_BITS
from engine.kernels.cpu import ops
from engine.kernels.networks import HeldRouter
from engine.model.experts import Experts, Router
from engine.model.two_bit import TwoBitExperts
from engine.quant.quantizer import TwoBit
from engine.quant.rotation import random_signs
from tests.engine.tiny import Shape

LEVELS = ops.levels()
EXPERTS, HIDDEN = 6, 256


def text_config(top_k: int, size: int) -> TextConfig:
    """A decoder's sizes, as far as experts ask for them."""
    whole = ModelConfig.from_json(Shape().config().to_dict())
    return replace(
        whole.text, num_experts=EXPERTS, hidden_size=HIDDEN, experts_per_token=top_k, text_expert_size=size
    )


def random_experts(seed: int, top_k: int = 2, size: int = 128, window_bits: int = 16) -> TwoBitExperts:
    """Experts of random bytes, with scales that keep the numbers near 1."""
    draw = torch.Generator().manual_seed(seed)
    router = Router(text_config(top_k, size))
    router.weight.data = torch.randn(EXPERTS, HIDDEN, generator=draw)
    experts = TwoBitExperts(router, window_bits)
    for name, channels, rows in (("gate_up", 2 * size, HIDDEN), ("down", HIDDEN, size)):
        shape = (EXPERTS, channels // 128, rows // 4, 128)
        codes = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
        scales = (torch.rand(EXPERTS, channels, generator=draw) * rows**-0.5 / 6.5).half()
        experts.place(name, {CODES: codes, SCALES: scales, SIGNS: random_signs(rows, seed)})
    return experts.eval()


def plain(experts: TwoBitExperts, top_k: int, size: int) -> Experts:
    """The same experts with dequantised weights in fp32."""
    same = Experts(text_config(top_k, size), size)
    same.router = experts.router
    for name, parameter in (("gate_up", same.gate_up), ("down", same.down)):
        codes, scales, signs = (experts.get_buffer(f"{name}_{part}") for part in ("codes", "scales", "signs"))
        matrices = [
            TwoBit(c, s, signs, experts.window_bits).dequantized() for c, s in zip(codes, scales, strict=True)
        ]
        parameter.data = torch.stack(matrices)
    return same.eval()


def tokens(seed: int, count: int) -> Tensor:
    """Gaussian hidden states."""
    return torch.randn(count, HIDDEN, generator=torch.Generator().manual_seed(seed))


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative to what is expected."""
    return float((found - expected).norm() / expected.norm().clamp(min=1e-9))


def weight_error(router: Router, x: Tensor) -> float:
    """By how much a weight may differ where a logit's products are added in another order.

    Each of K roundings is in proportion to the sum so far; they go both ways, so that the square root of K of
    them is far from ever reached. A softmax moves by at most half of what its logits move.
    """
    products = (x.abs() @ router.weight.detach().abs().T).flatten().tolist()
    epsilon = torch.finfo(torch.float32).eps
    return float(max(products, default=0.0) * epsilon * HIDDEN**0.5 / 2 + 8 * epsilon)


@torch.inference_mode()
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 12) | st.sampled_from((100, 600)),
    top_k=st.integers(1, EXPERTS),
    size=st.sampled_from((128, 384)),
    window_bits=st.sampled_from(WINDOW_BITS),
)
def test_the_kernels_agree_with_the_reference(
    seed: int, count: int, top_k: int, size: int, window_bits: int
) -> None:
    """Both round the same numbers; where the exponential differs in its last bit, a step of int8 may."""
    experts = random_experts(seed, top_k, size, window_bits)
    x = tokens(seed + 1, count)

    assert distance(experts(x), experts.reference(x)) < 2e-3


@torch.inference_mode()
@pytest.mark.parametrize("count", [1, 7, 300])
def test_the_answer_is_that_of_the_dequantised_experts(count: int) -> None:
    """What int8 activations cost is about a hundredth."""
    experts, x = random_experts(5, top_k=3), tokens(6, count)

    assert distance(experts(x), plain(experts, top_k=3, size=128)(x)) < 0.02


@torch.inference_mode()
@pytest.mark.parametrize("count", [1, 2, 8, 9, 70, 2000])
def test_every_level_gives_the_same_bits(count: int) -> None:
    """A verdict does not depend on the processor that it was computed on."""
    experts, x = random_experts(1), tokens(2, count)
    routing = experts.router(x)
    held = experts.handle(ops)
    found = [ops.run_experts(held, x, routing.experts, routing.weights, each) for each in LEVELS]

    assert all(torch.equal(each, found[0]) for each in found)


@torch.inference_mode()
def test_a_batch_is_its_tokens_one_by_one() -> None:
    """The same bits, whichever of the paths for few and for many tokens an expert takes."""
    experts, x = random_experts(3), tokens(4, 40)

    assert torch.equal(experts(x), torch.cat([experts(token) for token in x.split(1)]))


@torch.inference_mode()
@pytest.mark.parametrize("count", [1, 8, 300])
def test_all_tokens_may_choose_one_expert(count: int) -> None:
    """The other experts get none, and the one gets more than a part of the work holds."""
    experts, x = random_experts(7, top_k=1), tokens(8, count)
    chosen, weights = torch.full((count, 1), 4), torch.ones(count, 1)

    found = ops.run_experts(experts.handle(ops), x, chosen, weights)

    assert distance(found, experts._run(4, x)) < 2e-3


def test_no_tokens_are_no_work() -> None:
    """An image alone leaves the text experts without a token."""
    assert random_experts(0)(tokens(0, 0)).shape == (0, HIDDEN)


def test_an_expert_that_is_not_there_is_refused() -> None:
    """A wrong index is an error, not a read beyond the weights."""
    experts, x = random_experts(0), tokens(0, 1)

    with pytest.raises(ValueError, match="no such expert"):
        ops.run_experts(experts.handle(ops), x, torch.tensor([[EXPERTS]]), torch.ones(1, 1))


@torch.inference_mode()
@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 12) | st.sampled_from((100, 600)),
    top_k=st.integers(1, EXPERTS),
    loud=st.sampled_from((0.01, 1.0, 100.0)),
)
def test_tokens_go_where_the_router_sends_them(
    level: str, seed: int, count: int, top_k: int, loud: float
) -> None:
    """The same experts with the same weights, chosen with the correction bias and weighted without it."""
    router = Router(text_config(top_k, 128))
    router.weight.data = tokens(seed, EXPERTS) * HIDDEN**-0.5 * loud
    router.bias.data = tokens(seed + 1, 1)[0, :EXPERTS] * 0.3
    x = tokens(seed + 2, count)

    expected, bound = router(x), weight_error(router, x)
    scores = (expected.probabilities + router.bias).sort(descending=True).values
    assume(top_k == EXPERTS or bool((scores[:, top_k - 1] - scores[:, top_k] > 2 * bound).all()))

    held = HeldRouter(router.weight, router.bias, top_k, router.norm_min)
    chosen, weights = ops.route(held, x, level)

    assert torch.equal(chosen.sort().values, expected.experts.sort().values)
    found = torch.zeros(count, EXPERTS).scatter(1, chosen, weights)
    assert torch.allclose(found, torch.zeros(count, EXPERTS).scatter(1, *expected[:2]), rtol=0, atol=bound)


def test_among_equal_experts_the_first_are_chosen() -> None:
    """Whatever the processor, so that a verdict can be computed again."""
    router = HeldRouter(torch.zeros(EXPERTS, HIDDEN), torch.zeros(EXPERTS), 3, 1e-12)

    chosen, weights = ops.route(router, tokens(0, 1))

    assert chosen.tolist() == [[0, 1, 2]]
    assert torch.allclose(weights, torch.full((1, 3), 1 / 3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_token_that_is_no_number_spoils_its_own_weights_alone(bad: float) -> None:
    """It is noticed at the logits, and nobody else's answer changes."""
    router = HeldRouter(tokens(1, EXPERTS), torch.zeros(EXPERTS), 2, 1e-12)
    x = tokens(2, 2)
    x[0, 5] = bad

    weights = ops.route(router, x)[1]

    assert weights[0].isnan().all()
    assert weights[1].isfinite().all()
