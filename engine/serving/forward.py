"""Passes through the network for many sequences at once: chunks of prompts, or one more token of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from engine.model.cache import AttentionLayout, Group, KVPool, slots_of
from engine.model.network import ErnieVL


@dataclass(frozen=True, eq=False)
class Chunk:
    """New tokens of one sequence: ids `[t]` and positions `[3, t]`, behind `past` computed ones.

    `table` are the sequence's blocks, `images` the features of the placeholders in their order. With a `tree`
    `[n, n]` the last n tokens see all before them, and one another as it says. The logits of the last
    `wanted` tokens are asked for.
    """

    token_ids: Tensor
    positions: Tensor
    past: int
    table: Sequence[int]
    images: Sequence[Tensor] = field(default_factory=tuple)
    tree: Tensor | None = None
    wanted: int = 1

    @property
    def length(self) -> int:
        """New tokens."""
        return len(self.token_ids)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pieces that agree in it attend in one call."""
        return self.length, self.past, id(self.tree)

    def mask(self) -> Tensor | None:
        """What each new token sees, `[t, past + t]`; None is causal."""
        if self.tree is None:
            return None
        mask = torch.ones(self.length, self.past + self.length, dtype=torch.bool).tril(self.past)
        nodes = len(self.tree)
        mask[-nodes:, -nodes:] = self.tree
        return mask


def prefill(network: ErnieVL, pool: KVPool, chunks: Sequence[Chunk]) -> list[Tensor]:
    """Compute chunks of any lengths in one packed pass; logits `[wanted, V]` of each.

    A chunk may stand behind blocks that another fills in the same pass: a layer stores all keys first.
    """
    order = sorted(range(len(chunks)), key=lambda index: chunks[index].shape)
    packed = [chunks[index] for index in order]
    images = [features for chunk in packed for features in chunk.images]
    hidden = network.hidden_states(
        torch.cat([chunk.token_ids for chunk in packed]).to(pool.device),
        torch.cat([chunk.positions for chunk in packed], dim=1).to(pool.device),
        torch.cat(images) if images else None,
        _layout(pool, packed),
    )
    parts = hidden.split([chunk.length for chunk in packed])
    wanted = [part[-chunk.wanted :] for part, chunk in zip(parts, packed, strict=True)]
    logits = network.logits(torch.cat(wanted)).split([chunk.wanted for chunk in packed])
    return [part for _, part in sorted(zip(order, logits, strict=True), key=lambda pair: pair[0])]


def _layout(pool: KVPool, packed: Sequence[Chunk]) -> AttentionLayout:
    groups, new = [], []
    for (length, past, _), run in groupby(packed, key=lambda chunk: chunk.shape):
        alike = list(run)
        end = past + length
        blocks = torch.tensor([list(chunk.table) for chunk in alike], device=pool.device)
        slots = slots_of(blocks)[:, :end]
        mask = alike[0].mask()
        groups.append(
            Group(
                len(alike),
                length,
                slots if past else None,
                None if mask is None else pool.mask(mask[None, None]),
            )
        )
        new.append(slots[:, past:].flatten())
    return AttentionLayout(tuple(groups), pool, torch.cat(new))


def decode(
    network: ErnieVL, pool: KVPool, token_ids: Tensor, positions: Tensor, tables: Tensor, lengths: Tensor
) -> Tensor:
    """Decode n running sequences by one token: ids, positions and `lengths` `[n]`, tables `[n, B]`.

    Logits `[n, V]`. All shapes depend on n and B alone, and nothing is read back from the device. A row that
    only fills the shape up has the padding block in its table and length 0.
    """
    return network.decode(token_ids, positions, AttentionLayout.next_tokens(pool, tables, lengths))
