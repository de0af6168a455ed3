"""The CUDA experts, run on the CPU: the bits of the CPU's kernels, however the tokens are spread."""

import pytest
import torch
from torch import Tensor

from engine.kernels.cpu import ops
from engine.kernels.cuda import launches
from engine.kernels.cuda.launches import Routed, Sizes
from engine.quant.activations import quantize_activations
from engine.quant.rotation import random_signs
from tests.engine.kernels.cuda_shim import calls
from tests.engine.kernels.cuda_shim.calls import Coded, Layer
from tests.engine.kernels.cuda_shim.harness import Shim

EXPERTS = 4
SMALL = Sizes(hidden=256, size=128)


def random_layer(sizes: Sizes, window_bits: int = 18, element: torch.dtype = torch.float32) -> Layer:
    """Experts of random bytes, which are valid codes, with scales that keep the numbers near 1."""
    draw = torch.Generator().manual_seed(sizes.hidden + sizes.size)
    gate_up = random_projection(draw, 2 * sizes.size, sizes.hidden)
    return Layer(gate_up, random_projection(draw, sizes.hidden, sizes.size), window_bits, element)


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


def on_cpu(layer: Layer, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """What the CPU's kernels answer."""
    held = ops.hold_experts(layer.gate_up, layer.down, layer.window_bits)
    return ops.run_experts(held, x, chosen, weights)


def gemv(
    shim: Shim, layer: Layer, x: Tensor, chosen: Tensor, *, block_tokens: int, multiprocessors: int = 1
) -> Tensor:
    """The answer of the kernel for few tokens, with all weights 1."""
    routed = Routed(len(chosen), chosen.shape[1], EXPERTS)
    input_ = calls.Quantized(*quantize_activations(x, layer.gate_up.signs))
    sent, inner = calls.expert_gemv(
        shim, layer, input_, chosen, routed, block_tokens=block_tokens, multiprocessors=multiprocessors
    )
    return calls.combine(shim, inner.results, sent.places, torch.ones(chosen.shape), None)


def gemm(shim: Shim, layer: Layer, x: Tensor, chosen: Tensor, *, block_tokens: int) -> Tensor:
    """The answer of the kernels for many tokens, with all weights 1."""
    routed = Routed(len(chosen), chosen.shape[1], EXPERTS)
    input_ = calls.Quantized(*quantize_activations(x, layer.gate_up.signs))
    sent, inner = calls.expert_gemm(shim, layer, input_, chosen, routed, block_tokens=block_tokens)
    return calls.combine(shim, inner.results, sent.places, torch.ones(chosen.shape), None)


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
def test_few_tokens_give_the_bits_of_the_cpu(shim: Shim, counts: tuple[int, ...], block_tokens: int) -> None:
    """Through tickets, partial sums and the rotation between: nothing is rounded differently."""
    layer, chosen = random_layer(SMALL), spread(counts)
    x = hidden_states(len(chosen), SMALL.hidden)

    found = gemv(shim, layer, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


@pytest.mark.parametrize(
    ("multiprocessors", "chunk"), [(1, 5), (3, 2), (1000, 1)], ids=["whole tiles", "chunks", "single blocks"]
)
def test_the_size_of_the_gpu_changes_nothing(shim: Shim, multiprocessors: int, chunk: int) -> None:
    """The fewer multiprocessors, the more blocks a task has, but a tile's blocks are added in their order."""
    layer, chosen = random_layer(Sizes(hidden=640, size=256)), spread((4, 0, 5, 0))
    x = hidden_states(9, 640)
    shape = (Routed(9, 1, EXPERTS), layer.sizes)
    plan = launches.expert_gemv("float", 18, *shape, block_tokens=1, multiprocessors=multiprocessors)

    found = gemv(shim, layer, x, chosen, block_tokens=1, multiprocessors=multiprocessors)

    assert plan.gate_up_chunk == chunk
    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


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
def test_many_tokens_give_the_bits_of_the_cpu(shim: Shim, counts: tuple[int, ...], block_tokens: int) -> None:
    """Through the tensor cores and the pipeline before them."""
    layer, chosen = random_layer(SMALL), spread(counts)
    x = hidden_states(len(chosen), SMALL.hidden)

    found = gemm(shim, layer, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


@pytest.mark.parametrize("window_bits", [16, 20])
def test_windows_of_every_length_are_decoded(shim: Shim, window_bits: int) -> None:
    """18 bits are those of the tests above."""
    layer, chosen = random_layer(SMALL, window_bits), spread((2, 0, 1, 0))
    x = hidden_states(3, SMALL.hidden)
    expected = on_cpu(layer, x, chosen, torch.ones(chosen.shape))

    assert torch.equal(gemv(shim, layer, x, chosen, block_tokens=8), expected)
    assert torch.equal(gemm(shim, layer, x, chosen, block_tokens=16), expected)


@pytest.mark.parametrize("size", [512, 1536], ids=["vision", "text"])
@pytest.mark.parametrize(
    ("counts", "block_tokens"), [((0, 0, 1, 0), 1), ((3, 0, 1, 0), 8)], ids=["one token", "few tokens"]
)
def test_few_tokens_of_the_28b_model_give_the_bits_of_the_cpu(
    shim: Shim, size: int, counts: tuple[int, ...], block_tokens: int
) -> None:
    """Hidden size 2560 and both expert sizes, every tile, on a GPU of 132 multiprocessors."""
    layer, chosen = random_layer(Sizes(2560, size), 16), spread(counts)
    x = hidden_states(len(chosen), 2560)

    found = gemv(shim, layer, x, chosen, block_tokens=block_tokens, multiprocessors=132)

    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


@pytest.mark.parametrize("size", [512, 1536], ids=["vision", "text"])
@pytest.mark.parametrize(
    ("counts", "block_tokens"), [((2, 0, 1, 0), 16), ((0, 17, 0, 0), 128)], ids=["few tokens", "many tokens"]
)
def test_many_tokens_of_the_28b_model_give_the_bits_of_the_cpu(
    shim: Shim, size: int, counts: tuple[int, ...], block_tokens: int
) -> None:
    """The same through the tensor cores: 20 blocks of input rows to the gates and ups, 4 or 12 down."""
    layer, chosen = random_layer(Sizes(2560, size), 16), spread(counts)
    x = hidden_states(len(chosen), 2560)

    found = gemm(shim, layer, x, chosen, block_tokens=block_tokens)

    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


def test_tiles_of_down_may_be_odd_in_number(shim: Shim) -> None:
    """A thread block takes two, so the last has one."""
    sizes = Sizes(hidden=384, size=128)
    layer, chosen = random_layer(sizes), spread((0, 3, 0, 2))
    x = hidden_states(5, sizes.hidden)

    found = gemm(shim, layer, x, chosen, block_tokens=16)

    assert torch.equal(found, on_cpu(layer, x, chosen, torch.ones(chosen.shape)))


@pytest.mark.parametrize("element", [torch.bfloat16, torch.float16], ids=str)
def test_results_are_rounded_once_to_the_type_of_the_hidden_states(shim: Shim, element: torch.dtype) -> None:
    """Everything before is the same, so the results are the rounded ones."""
    exact, chosen = random_layer(SMALL), spread((1, 2, 0, 0))
    x = hidden_states(3, SMALL.hidden)
    expected = on_cpu(exact, x, chosen, torch.ones(chosen.shape)).to(element)
    layer = exact._replace(element=element)

    assert torch.equal(gemv(shim, layer, x, chosen, block_tokens=8), expected)
    assert torch.equal(gemm(shim, layer, x, chosen, block_tokens=16), expected)


def test_each_modality_runs_on_its_own_experts_after_one_dispatch(shim: Shim) -> None:
    """Text and vision tokens lie mixed; each kernel takes the token blocks of its range."""
    text, vision = random_layer(SMALL), random_layer(Sizes(256, 256))
    of_vision = torch.tensor([False, True, True, False, True])
    x, chosen = hidden_states(5, 256), torch.tensor([[3], [0], [2], [1], [2]])
    routed = Routed(5, 1, EXPERTS, modalities=2)
    numbered = chosen + EXPERTS * of_vision[:, None]
    found = torch.full((5, 256), float("nan"))

    for modality, layer in enumerate((text, vision)):
        input_ = calls.Quantized(*quantize_activations(x, layer.gate_up.signs))
        sent, inner = calls.expert_gemm(
            shim, layer, input_, numbered, routed, block_tokens=16, modality=modality
        )
        own = of_vision == bool(modality)
        found[own] = inner.results[sent.places[own].long()]

    ones = torch.ones(5, 1)
    expected = torch.where(of_vision[:, None], on_cpu(vision, x, chosen, ones), on_cpu(text, x, chosen, ones))
    assert torch.equal(found, expected)
