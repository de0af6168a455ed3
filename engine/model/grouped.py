"""Networks of different experts in a few products whose shapes depend on the number of tokens alone.

The pairs of a token and one of its experts are sorted by expert and cut into blocks of one expert each; a
block gets a copy of its expert's weights. Nothing is read back from the device, so a CUDA graph can hold it.

T tokens, S experts a token, P = T S pairs, E experts, Z blocks of B pairs, N output channels, K input rows
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import silu

LARGEST_BLOCK = 128
"""Pairs of a block: products of more rows gain nothing, and padding costs more."""

COPIED_BYTES = 1 << 28
"""Copies of weights that are there at any time."""


class TokenBlocks(NamedTuple):
    """The token at each place of the blocks `[Z, B]`, the expert of each `[Z]`, each pair's place `[T, S]`.

    Places that no pair has hold any token; what is computed there is not used.
    """

    tokens: Tensor
    experts: Tensor
    places: Tensor


def token_blocks(chosen: Tensor, experts: int) -> TokenBlocks:
    """Sort the pairs of a choice `[T, S]` among E experts into blocks; Z suffices for any choice."""
    pairs, top_k = chosen.numel(), chosen.shape[1]
    size = block_size(pairs, experts)
    number = min(pairs, pairs // size + experts)
    by_expert, order = chosen.flatten().sort(stable=True)
    ends = torch.searchsorted(by_expert, torch.arange(experts, device=chosen.device), right=True)
    starts = torch.cat((ends.new_zeros(1), ends[:-1]))
    block_ends = ((ends - starts + size - 1) // size).cumsum(0)
    first_blocks = torch.cat((block_ends.new_zeros(1), block_ends[:-1]))
    blocks = torch.arange(number, device=chosen.device)
    expert = torch.searchsorted(block_ends, blocks, right=True).clamp(max=experts - 1)
    first = starts.take(expert) + (blocks - first_blocks.take(expert)) * size
    place = (first[:, None] + torch.arange(size, device=chosen.device)).clamp(max=pairs - 1)
    behind = torch.arange(pairs, device=chosen.device) - starts.take(by_expert)
    places = torch.empty_like(order)
    places = places.index_copy(0, order, first_blocks.take(by_expert) * size + behind)
    return TokenBlocks(order.take(place) // top_k, expert, places.view_as(chosen))


def block_size(pairs: int, experts: int) -> int:
    """Pairs of a block: the power of two that holds the mean expert's."""
    mean = -(-pairs // experts)
    return min(LARGEST_BLOCK, 1 << (mean - 1).bit_length())


def swiglu_of_experts(x: Tensor, chosen: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """`[T, K] -> [T, K]`: the sum of each token's experts `chosen` `[T, S]` by their `weights` `[T, S]`.

    An expert is `down(silu(gate x) * up x)`, of `gate_up` `[E, 2N, K]` and `down` `[E, K, N]`.
    """
    if len(x) == 0:
        return x
    blocks = token_blocks(chosen, len(down))
    inputs = x.index_select(0, blocks.tokens.flatten()).view(*blocks.tokens.shape, -1)
    gate, up = _multiply(inputs, gate_up, blocks.experts).chunk(2, dim=-1)
    results = _multiply(silu(gate) * up, down, blocks.experts).flatten(0, 1)
    own = results.index_select(0, blocks.places.flatten()).view(*chosen.shape, -1)
    return (own * weights[..., None]).sum(1)


def _multiply(x: Tensor, weights: Tensor, experts: Tensor) -> Tensor:
    """`[Z, B, K] -> [Z, B, N]` with the weights `[E, N, K]` of each block's expert."""
    at_once = max(1, COPIED_BYTES // weights[0].nbytes)
    parts = zip(x.split(at_once), experts.split(at_once), strict=True)
    return torch.cat([part @ weights.index_select(0, own).transpose(1, 2) for part, own in parts])
