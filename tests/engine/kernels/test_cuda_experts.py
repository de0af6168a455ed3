"""The CUDA experts, run on the CPU: the bits of the CPU's kernels, however the tokens are spread."""

import pytest
import torch
from torch import Tensor

from engine.format.activations import quantize_activations
from engine.kernels.cpu import ops
from engine.kernels.cuda.combine import combine
from engine.kernels.cuda.dispatch import Routed, dispatch
from engine.kernels.cuda.expert_gemm import expert_gemm
from engine.kernels.cuda.expert_gemv import expert_gemv, gemv_plan
from engine.kernels.cuda.handles import Coded, HeldExperts, Sizes
from engine.kernels.cuda.launch import ELEMENTS
from engine.quant.rotation import random_signs
from tests.engine.kernels.cuda_shim.launcher import OnShim

pytestmark = pytest.mark.slow

EXPERTS = 4
SMALL = Sizes(hidden=256, size=128)


def random_experts(launcher: OnShim, sizes: Sizes, window_bits: int = 18) -> HeldExperts:
    """Experts of random bytes, which are valid codes, with scales that keep the numbers near 1."""
    draw = torch.Generator().manual_seed(sizes.hidden + sizes.size)
    gate_up = random_projection(draw, 2 * sizes.size, sizes.hidden)
    return HeldExperts(launcher, gate_up, random_projection(draw, sizes.hidden, sizes.size), window_bits)


def random_projection(draw: torch.Generator, channels: int, rows: int) -> Coded:
    """One matrix for each expert."""
    shape = (EXPERTS, channels // 128, rows // 4, 128)
    codes = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    scales = (torch.rand(EXPERTS, channels, generator=draw) * rows**-0.5 / 6.5).half()
    return Coded(codes, scales, random_signs(rows, rows))


def spread(counts: tuple[int, ...]) -> Tensor:
    """An expert for each token, so many tokens each, in random order; `[T, 1]`."""
    chosen = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(1))][:, None]


def hidden_states(tokens: int, hidden: int) -> Tensor:
    """Gaussian."""
    return torch.randn(tokens, hidden, generator=torch.Generator().manual_seed(tokens))


def on_cpu(held: HeldExperts, x: Tensor, chosen: Tensor) -> Tensor:
    """What the CPU's kernels answer, with all weights 1."""
    experts = ops.hold_experts(held.gate_up, held.down, held.window_bits)
    return ops.run_experts(experts, x, chosen, torch.ones(chosen.shape))


def gemv(
    held: HeldExperts,
    x: Tensor,
    chosen: Tensor,
    *,
    block_tokens: int,
    multiprocessors: int = 1,
    element: torch.dtype = torch.float32,
) -> Tensor:
    """The answer of the kernel for few tokens, with all weights 1, in results of a type."""
    routed, bits = Routed(len(chosen), chosen.shape[1], EXPERTS), held.window_bits
    plan = gemv_plan(
        ELEMENTS[element],
        bits,
        routed,
        held.sizes,
        block_tokens=block_tokens,
        multiprocessors=multiprocessors,
    )
    sent = dispatch(held.launcher, routed, chosen.int(), block_tokens, plan.counters)
    results = torch.empty(routed.pairs, held.sizes.hidden, dtype=element)
    expert_gemv(held, routed, plan, sent, quantize_activations(x, held.gate_up.signs), results)
    return combine(held.launcher, results, sent.places, torch.ones(chosen.shape), None)


def gemm(
    held: HeldExperts, x: Tensor, chosen: Tensor, *, block_tokens: int, element: torch.dtype = torch.float32
) -> Tensor:
    """The answer of the kernels for many tokens, with all weights 1, in results of a type."""
    routed = Routed(len(chosen), chosen.shape[1], EXPERTS)
    sent = dispatch(held.launcher, routed, chosen.int(), block_tokens, counters=0)
    results = torch.empty(routed.pairs, held.sizes.hidden, dtype=element)
    expert_gemm(held, routed, block_tokens, sent, quantize_activations(x, held.gate_up.signs), results)
    return combine(held.launcher, results, sent.places, torch.ones(chosen.shape), None)


@pytest.mark.parametrize(
    ("counts", "block_tokens"),
    [
        ((0, 1, 0, 0), 1),
        ((1, 1, 2, 1), 1),
        ((7, 0, 1, 3), 8),
        ((8, 0, 0, 0), 8),
        ((9, 2, 4, 5), 8),
    ],
    ids=["one token", "each token by itself", "an empty expert", "one takes all", "more than a block holds"],
)
def test_few_tokens_give_the_bits_of_the_cpu(
    launcher: OnShim, counts: tuple[int, ...], block_tokens: int
) -> None:
    """Through tickets, partial sums and the rotation between: nothing is rounded differently."""
    held, chosen = random_experts(launcher, SMALL), spread(counts)
    x = hidden_states(len(chosen), SMALL.hidden)

    found = gemv(held, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(held, x, chosen))


@pytest.mark.parametrize(
    ("multiprocessors", "chunk"), [(1, 5), (3, 2), (1000, 1)], ids=["whole tiles", "chunks", "single blocks"]
)
def test_the_size_of_the_gpu_changes_nothing(launcher: OnShim, multiprocessors: int, chunk: int) -> None:
    """The fewer multiprocessors, the more blocks a task has, but a tile's blocks are added in their order."""
    held, chosen = random_experts(launcher, Sizes(hidden=640, size=256)), spread((4, 0, 5, 0))
    x = hidden_states(9, 640)
    shape = (Routed(9, 1, EXPERTS), held.sizes)
    plan = gemv_plan("float", 18, *shape, block_tokens=1, multiprocessors=multiprocessors)

    found = gemv(held, x, chosen, block_tokens=1, multiprocessors=multiprocessors)

    assert plan.gate_up_chunk == chunk
    assert torch.equal(found, on_cpu(held, x, chosen))


@pytest.mark.parametrize(
    ("counts", "block_tokens"),
    [
        ((1, 0, 0, 0), 16),
        ((7, 0, 9, 8), 16),
        ((0, 40, 0, 0), 16),
        ((127, 0, 0, 1), 128),
        ((0, 0, 129, 0), 128),
    ],
    ids=["one token", "ragged tails", "one takes all", "one less than a block", "one more than a block"],
)
def test_many_tokens_give_the_bits_of_the_cpu(
    launcher: OnShim, counts: tuple[int, ...], block_tokens: int
) -> None:
    """Through the tensor cores and the pipeline before them."""
    held, chosen = random_experts(launcher, SMALL), spread(counts)
    x = hidden_states(len(chosen), SMALL.hidden)

    found = gemm(held, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(held, x, chosen))


@pytest.mark.parametrize("window_bits", [16, 20])
def test_windows_of_every_length_are_decoded(launcher: OnShim, window_bits: int) -> None:
    """18 bits are those of the tests above."""
    held, chosen = random_experts(launcher, SMALL, window_bits), spread((2, 0, 1, 0))
    x = hidden_states(3, SMALL.hidden)
    expected = on_cpu(held, x, chosen)

    assert torch.equal(gemv(held, x, chosen, block_tokens=8), expected)
    assert torch.equal(gemm(held, x, chosen, block_tokens=16), expected)


@pytest.mark.parametrize("size", [512, 1536], ids=["vision", "text"])
@pytest.mark.parametrize(
    ("counts", "block_tokens"), [((0, 0, 1, 0), 1), ((3, 0, 1, 0), 8)], ids=["one token", "few tokens"]
)
def test_few_tokens_of_the_28b_model_give_the_bits_of_the_cpu(
    launcher: OnShim, size: int, counts: tuple[int, ...], block_tokens: int
) -> None:
    """Hidden size 2560 and both expert sizes, every tile, on a GPU of 132 multiprocessors."""
    held, chosen = random_experts(launcher, Sizes(2560, size), 16), spread(counts)
    x = hidden_states(len(chosen), 2560)

    found = gemv(held, x, chosen, block_tokens=block_tokens, multiprocessors=132)

    assert torch.equal(found, on_cpu(held, x, chosen))


@pytest.mark.parametrize("size", [512, 1536], ids=["vision", "text"])
@pytest.mark.parametrize(
    ("counts", "block_tokens"), [((2, 0, 1, 0), 16), ((0, 17, 0, 0), 128)], ids=["few tokens", "many tokens"]
)
def test_many_tokens_of_the_28b_model_give_the_bits_of_the_cpu(
    launcher: OnShim, size: int, counts: tuple[int, ...], block_tokens: int
) -> None:
    """The same through the tensor cores: 20 blocks of input rows to the gates and ups, 4 or 12 down."""
    held, chosen = random_experts(launcher, Sizes(2560, size), 16), spread(counts)
    x = hidden_states(len(chosen), 2560)

    found = gemm(held, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(held, x, chosen))


def test_tiles_of_down_may_be_odd_in_number(launcher: OnShim) -> None:
    """A thread block takes two, so the last has one."""
    sizes = Sizes(hidden=384, size=128)
    held, chosen = random_experts(launcher, sizes), spread((0, 3, 0, 2))
    x = hidden_states(5, sizes.hidden)

    found = gemm(held, x, chosen, block_tokens=16)

    assert torch.equal(found, on_cpu(held, x, chosen))


@pytest.mark.parametrize("element", [torch.bfloat16, torch.float16], ids=str)
def test_results_are_rounded_once_to_the_type_of_the_hidden_states(
    launcher: OnShim, element: torch.dtype
) -> None:
    """Everything before is the same, so the results are the rounded ones."""
    held, chosen = random_experts(launcher, SMALL), spread((1, 2, 0, 0))
    x = hidden_states(3, SMALL.hidden)
    expected = on_cpu(held, x, chosen).to(element)

    assert torch.equal(gemv(held, x, chosen, block_tokens=8, element=element), expected)
    assert torch.equal(gemm(held, x, chosen, block_tokens=16, element=element), expected)


def test_each_modality_runs_on_its_own_experts_after_one_dispatch(launcher: OnShim) -> None:
    """Text and vision tokens lie mixed; each kernel takes the token blocks of its range."""
    text, vision = random_experts(launcher, SMALL), random_experts(launcher, Sizes(256, 256))
    of_vision = torch.tensor([False, True, True, False, True])
    x, chosen = hidden_states(5, 256), torch.tensor([[3], [0], [2], [1], [2]])
    routed = Routed(5, 1, EXPERTS, modalities=2)
    numbered = (chosen + EXPERTS * of_vision[:, None]).int()
    results = torch.full((5, 256), float("nan"))
    sent = dispatch(launcher, routed, numbered, block_tokens=16, counters=0)

    for modality, held in enumerate((text, vision)):
        quantized = quantize_activations(x, held.gate_up.signs)
        expert_gemm(held, routed, 16, sent.of(modality), quantized, results)

    expected = torch.where(of_vision[:, None], on_cpu(vision, x, chosen), on_cpu(text, x, chosen))
    assert torch.equal(results[sent.places.long()], expected)
