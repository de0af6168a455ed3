"""The CUDA kernels that route, dispatch and combine, run on the CPU against what they must compute."""

import pytest
import torch
from torch import Tensor

from engine.kernels.cuda.combine import combine
from engine.kernels.cuda.dispatch import Routed, dispatch
from engine.kernels.cuda.route import route
from tests.engine.kernels.cuda_shim.launcher import OnShim

pytestmark = pytest.mark.slow


def numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def routes(
    launcher: OnShim, logits: Tensor, bias: Tensor, modality: Tensor | None, top_k: int
) -> tuple[Tensor, Tensor]:
    """Experts and weights `[T, S]` of logits `[T, M, E]` and bias `[M, E]`."""
    tokens, modalities, experts = logits.shape
    routed = Routed(tokens, top_k, experts, modalities)
    return route(launcher, routed, logits.flatten(1), bias, modality, norm_min=1e-12)


@pytest.mark.parametrize("tokens", [1, 9])
def test_tokens_of_both_modalities_get_the_experts_of_the_reference(launcher: OnShim, tokens: int) -> None:
    """Chosen with the bias and weighted without it; vision experts are numbered behind those for text."""
    logits, bias = numbers(0, tokens, 2, 64) * 3, numbers(1, 2, 64) * 0.05
    modality = torch.arange(tokens, dtype=torch.uint8) % 2

    experts, weights = routes(launcher, logits, bias, modality, top_k=6)

    probabilities = logits[torch.arange(tokens), modality.long()].softmax(-1)
    chosen = (probabilities + bias[modality.long()]).topk(6).indices
    expected = probabilities.gather(-1, chosen)
    assert torch.equal(experts, chosen + 64 * modality[:, None])
    torch.testing.assert_close(weights, expected / expected.sum(-1, keepdim=True))


def test_equal_experts_are_taken_in_their_order(launcher: OnShim) -> None:
    """A tie is settled by the number, the same way every time."""
    experts, weights = routes(launcher, torch.zeros(2, 1, 40), torch.zeros(1, 40), None, top_k=4)

    assert experts.tolist() == [[0, 1, 2, 3]] * 2
    assert torch.equal(weights, torch.full((2, 4), 0.25))


def test_logits_that_are_no_numbers_choose_experts_that_are_there(launcher: OnShim) -> None:
    """An overflow may spoil the answer, but no kernel behind it may read beyond its experts."""
    logits = torch.full((1, 1, 40), float("nan"))

    experts, _ = routes(launcher, logits, torch.zeros(1, 40), None, top_k=6)

    assert len(set(experts[0].tolist())) == 6
    assert experts.min() >= 0
    assert experts.max() < 40


@pytest.mark.parametrize(
    ("tokens", "top_k", "modalities"), [(1, 6, 1), (7, 3, 2), (129, 2, 1), (2049, 6, 2)], ids=str
)
def test_pairs_are_sorted_by_expert_and_keep_their_order(
    launcher: OnShim, tokens: int, top_k: int, modalities: int
) -> None:
    """The order is the stable sort, and the places are its inverse."""
    routed = Routed(tokens, top_k, experts=64 // modalities, modalities=modalities)
    experts = numbers(tokens, tokens, 64).topk(top_k).indices

    found = dispatch(launcher, routed, experts.int(), block_tokens=16, counters=5)

    expected = experts.flatten().argsort(stable=True)
    assert torch.equal(found.order.long(), expected)
    assert torch.equal(found.places[found.order.long()], torch.arange(routed.pairs, dtype=torch.int32))
    assert not found.counters.any()


@pytest.mark.parametrize("counts", [(0, 5, 16, 17), (64, 0, 0, 0), (0, 0, 0, 1), (15, 33, 1, 48)], ids=str)
def test_blocks_cover_every_pair_once(launcher: OnShim, counts: tuple[int, ...]) -> None:
    """Empty experts have none, full ones several, the last of them ragged; each modality has its range."""
    experts = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    shuffled = experts[torch.randperm(len(experts), generator=torch.Generator().manual_seed(0))]
    routed = Routed(len(experts), 1, experts=2, modalities=2)

    found = dispatch(launcher, routed, shuffled[:, None].int(), block_tokens=16, counters=5)

    expected, first = [], 0
    for expert, count in enumerate(counts):
        starts = range(0, count, 16)
        expected += [[expert % 2, first + done, min(16, count - done), expert // 2] for done in starts]
        first += count
    text = sum(block[3] == 0 for block in expected)
    assert found.ranges.tolist() == [0, text, len(expected)]
    assert found.blocks.view(-1, 4)[: len(expected)].tolist() == expected


@pytest.mark.parametrize("element", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("hidden", "with_shared"), [(384, True), (384, False), (4224, True)])
def test_results_are_added_in_ascending_order_of_their_places(
    launcher: OnShim, element: torch.dtype, hidden: int, with_shared: bool
) -> None:
    """The sum is the same whatever order the router named the experts in, and rounded once."""
    tokens, top_k = 3, 5
    results = numbers(0, tokens * top_k, hidden).to(element)
    places = torch.randperm(tokens * top_k, generator=torch.Generator().manual_seed(1)).view(tokens, top_k)
    weights, shared = numbers(2, tokens, top_k), numbers(3, tokens, hidden).to(element)
    found = combine(launcher, results, places.int(), weights, shared if with_shared else None)

    expected = torch.zeros(tokens, hidden)
    for slot in places.argsort(-1).T:
        each = torch.arange(tokens)
        expected = expected + results[places[each, slot]].float() * weights[each, slot, None]
    expected = expected + shared.float() if with_shared else expected
    assert torch.equal(found, expected.to(element))
