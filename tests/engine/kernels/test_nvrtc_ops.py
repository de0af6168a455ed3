"""The functions around the CUDA kernels, with the sources run on the CPU: each answers as the CPU's do."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.checkpoint.config import ModelConfig, TextConfig
from engine.checkpoint.formats import CODES, SCALES, SIGNS
from engine.kernels.cpu import ops as on_cpu
from engine.kernels.cuda.combine import COMBINE
from engine.kernels.cuda.dense import feed_forward, linear
from engine.kernels.cuda.handles import Coded, Groups4, HeldExperts, Rows8
from engine.kernels.cuda.launch import Value, check
from engine.kernels.cuda.mixture import run_experts, run_mixture
from engine.kernels.networks import FeedForward
from engine.model.experts import MixtureOfExperts
from engine.model.mixture import TwoBitMixture
from engine.model.two_bit import TwoBitExperts
from engine.quant.groups import encode_groups
from engine.quant.rotation import random_signs
from engine.quant.rows import encode_rows
from tests.engine.kernels.cuda_shim.launcher import OnShim
from tests.engine.tiny import Shape

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the first run compiles with sanitizers

EXPERTS, HIDDEN, TOP_K = 4, 256, 3
NETWORK = ((320, 256), (320, 256), (200, 320))
"""Gate, up and down of a network whose inner size fills no block."""


def numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def config() -> TextConfig:
    """A decoder's sizes, as far as experts ask for them."""
    whole = ModelConfig.from_json(Shape().config().to_dict())
    return replace(
        whole.text,
        num_experts=EXPERTS,
        hidden_size=HIDDEN,
        experts_per_token=TOP_K,
        num_shared_experts=1,
        text_expert_size=256,
        vision_expert_size=128,
    )


def compressed(plain: MixtureOfExperts, size: int, seed: int) -> TwoBitExperts:
    """Experts of random bytes with a router that spreads the tokens."""
    draw = torch.Generator().manual_seed(seed)
    experts = TwoBitExperts(plain.text.router if size == 256 else plain.vision.router, 18)
    experts.router.weight.data = numbers(seed, EXPERTS, HIDDEN)
    experts.router.bias.data = numbers(seed + 1, EXPERTS) / 10
    for name, channels, rows in (("gate_up", 2 * size, HIDDEN), ("down", HIDDEN, size)):
        shape = (EXPERTS, channels // 128, rows // 4, 128)
        codes = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
        scales = (torch.rand(EXPERTS, channels, generator=draw) * rows**-0.5 / 6.5).half()
        experts.place(name, {CODES: codes, SCALES: scales, SIGNS: random_signs(rows, seed)})
    return experts.eval()


def two_bit_mixture() -> MixtureOfExperts:
    """Both modalities in 2 bits, and a shared expert."""
    plain = MixtureOfExperts(config())
    assert plain.shared is not None
    for seed, parameter in enumerate(plain.shared.parameters()):
        parameter.data = numbers(seed, *parameter.shape) * parameter.shape[1] ** -0.5
    text, vision = compressed(plain, 256, 10), compressed(plain, 128, 20)
    plain.set_submodule("text", text)
    plain.set_submodule("vision", vision)
    return plain.eval()


def held_on(launcher: OnShim, experts: TwoBitExperts) -> HeldExperts:
    """The handle that a GPU's kernels would get."""
    gate_up = Coded(experts.gate_up_codes, experts.gate_up_scales, experts.gate_up_signs)
    down = Coded(experts.down_codes, experts.down_scales, experts.down_signs)
    return HeldExperts(launcher, gate_up, down, experts.window_bits)


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative to what is expected."""
    return float((found - expected).norm() / expected.norm())


@torch.inference_mode()
@pytest.mark.parametrize("tokens", [0, 1, 8, 9])
@pytest.mark.parametrize("biased", [False, True])
def test_linear_gives_the_bits_of_the_cpu(launcher: OnShim, tokens: int, biased: bool) -> None:
    """8 bits with rows that fill no block, 4 bits with channels that fill no tile; few tokens and many."""
    x8, x4 = numbers(1, tokens, 320), numbers(2, tokens, 256)
    bias = numbers(3, 200) if biased else None
    codes8 = numbers(4, 200, 320).mul(40).clamp(-127, 127).to(torch.int8)
    scales8 = torch.rand(200, generator=torch.Generator().manual_seed(5)) / 100
    codes4, scales4 = encode_groups(numbers(6, 200, 256))

    found8 = linear(Rows8(launcher, codes8, scales8), 200, x8, bias)
    found4 = linear(Groups4(launcher, codes4, scales4, 200), 200, x4, bias)

    assert torch.equal(found8, on_cpu.linear(on_cpu.rows8(codes8, scales8), 200, x8, bias=bias))
    assert torch.equal(found4, on_cpu.linear(on_cpu.groups4(codes4, scales4, 200), 200, x4, bias=bias))


@torch.inference_mode()
@pytest.mark.parametrize("tokens", [0, 1, 9])
@pytest.mark.parametrize("gated", [True, False])
def test_a_feed_forward_network_answers_as_on_the_cpu(launcher: OnShim, tokens: int, gated: bool) -> None:
    """SwiGLU with and without its gate; between the products an activation may fall to the next integer."""
    gate, up, down = (encode_rows(numbers(seed, *shape) / 16) for seed, shape in enumerate(NETWORK))
    x, biases = numbers(4, tokens, 256), () if gated else (numbers(5, 320), numbers(6, 200))

    ours = FeedForward(
        Rows8(launcher, *gate) if gated else None, Rows8(launcher, *up), Rows8(launcher, *down), 200, *biases
    )
    theirs = FeedForward(
        on_cpu.rows8(*gate) if gated else None, on_cpu.rows8(*up), on_cpu.rows8(*down), 200, *biases
    )

    found, expected = feed_forward(ours, x), on_cpu.feed_forward(theirs, x)
    assert tokens == 0 or distance(found, expected) < 2e-3


@torch.inference_mode()
@pytest.mark.parametrize("tokens", [0, 1, 5, 8])
def test_experts_answer_as_on_the_cpu(launcher: OnShim, tokens: int) -> None:
    """With the kernel for few tokens an expert, and with those for many."""
    experts = two_bit_mixture().text
    assert isinstance(experts, TwoBitExperts)
    x, routing = numbers(7, tokens, HIDDEN), experts.router(numbers(7, tokens, HIDDEN))

    found = run_experts(held_on(launcher, experts), x, routing.experts, routing.weights)

    expected = experts(x)
    assert tokens == 0 or distance(found, expected) < 2e-3


@torch.inference_mode()
@pytest.mark.parametrize(
    ("tokens", "vision_tokens"), [(5, []), (5, [3, 1]), (5, range(5)), (12, range(4, 12))], ids=str
)
def test_a_mixture_in_one_pass_answers_as_one_by_modality(
    launcher: OnShim, tokens: int, vision_tokens: Sequence[int]
) -> None:
    """No vision, some, nothing but, and many; routed, sorted and added up together."""
    plain = two_bit_mixture()
    fused = TwoBitMixture.of(plain)
    fused._held = fused.hold(held_on(launcher, fused.text), held_on(launcher, fused.vision))
    x, chosen = numbers(8, tokens, HIDDEN), torch.tensor(vision_tokens, dtype=torch.long)

    assert distance(fused(x, chosen), plain(x, chosen)) < 2e-3


@torch.inference_mode()
def test_no_tokens_are_no_work(launcher: OnShim) -> None:
    """An empty batch comes back as it is."""
    fused = TwoBitMixture.of(two_bit_mixture())
    mixture = fused.hold(held_on(launcher, fused.text), held_on(launcher, fused.vision))

    assert run_mixture(mixture, numbers(9, 0, HIDDEN), None, None).shape == (0, HIDDEN)


RIGHT: dict[str, Value] = {
    "results": torch.zeros(2, 128),
    "places": torch.zeros(1, 2, dtype=torch.int32),
    "weights": torch.zeros(1, 2),
    "shared": None,
    "out": torch.zeros(1, 128),
    "hidden": 128,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": torch.zeros(1, 2)},
        {"results": torch.zeros(2, 128, dtype=torch.float16)},
        {"results": torch.zeros(128, 2).T},
        {"weights": None},
        {"hidden": torch.tensor(128)},
        {"out": torch.zeros(1, 128, device="meta")},
        {"hiden": 128},
    ],
    ids=["type", "element", "strides", "missing", "number", "device", "name"],
)
def test_arguments_that_are_not_the_kernels_are_refused(wrong: dict[str, Value]) -> None:
    """A device would read them as something else, without a word."""
    check(COMBINE, {"ELEMENT": "float", "TOP_K": "2"}, RIGHT)
    with pytest.raises(AssertionError, match="combine"):
        check(COMBINE, {"ELEMENT": "float", "TOP_K": "2"}, RIGHT | wrong)
