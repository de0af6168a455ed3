"""The experts of a checkpoint that is not in 2 bits, in blocks of fixed shapes: the answers of one by one."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from engine.model import grouped
from engine.model.grouped import block_size, swiglu_of_experts, token_blocks

EXPERTS, HIDDEN, SIZE = 5, 24, 16


def numbers(seed: int, *shape: int) -> Tensor:
    """Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def one_by_one(x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """What the experts of each token give, pair by pair."""
    out = torch.zeros_like(x)
    for token, slot in torch.cartesian_prod(torch.arange(len(x)), torch.arange(chosen.shape[1])).tolist():
        expert = int(chosen[token, slot])
        gate, up = linear(x[token], gate_up[expert]).chunk(2)
        out[token] += weights[token, slot] * linear(silu(gate) * up, down[expert])
    return out


@pytest.mark.parametrize(("tokens", "top_k"), [(0, 2), (1, 1), (1, 3), (7, 2), (33, 5), (300, 2)], ids=str)
@pytest.mark.parametrize("is_lopsided", [False, True])
def test_experts_in_blocks_answer_as_one_by_one(
    tokens: int, top_k: int, is_lopsided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of tokens, spread evenly or all at the same experts; weights copied a few blocks a time."""
    monkeypatch.setattr(grouped, "COPIED_BYTES", 3 * 2 * SIZE * HIDDEN * 4)
    x, weights = numbers(0, tokens, HIDDEN), numbers(1, tokens, top_k).softmax(-1)
    liking = torch.arange(EXPERTS, 0, -1).expand(tokens, -1) if is_lopsided else numbers(2, tokens, EXPERTS)
    chosen = liking.topk(top_k).indices
    gate_up = numbers(3, EXPERTS, 2 * SIZE, HIDDEN) * HIDDEN**-0.5
    down = numbers(4, EXPERTS, HIDDEN, SIZE) * SIZE**-0.5

    found = swiglu_of_experts(x, chosen, weights, gate_up, down)

    torch.testing.assert_close(found, one_by_one(x, chosen, weights, gate_up, down))


@pytest.mark.parametrize("seed", range(5))
def test_a_block_has_one_expert_and_a_pair_one_place(seed: int) -> None:
    """Whatever is chosen, every pair stands in a block of its expert, and no two at the same place."""
    tokens = 1 << 2 * seed
    chosen = numbers(seed, tokens, EXPERTS).topk(2).indices

    blocks = token_blocks(chosen, EXPERTS)

    assert blocks.tokens.shape[1] == block_size(2 * tokens, EXPERTS)
    assert torch.equal(blocks.experts[blocks.places // blocks.tokens.shape[1]], chosen)
    assert torch.equal(blocks.tokens.flatten()[blocks.places], torch.arange(tokens)[:, None].expand(-1, 2))
    assert len(blocks.places.unique()) == 2 * tokens
