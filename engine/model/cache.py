"""Keys and values in one pool of blocks, and which of them each new token sees.

T new tokens, n sequences with t new tokens and L keys each, G key/value heads, D head size
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from engine.model.config import TextConfig

BLOCK_TOKENS = 16
"""Tokens of a block: what is shared, taken and given back as a whole (Kwon et al. 2023)."""

NOBODY = 0
"""The block that no sequence owns: what is filled up to a fixed shape reads and writes there."""


def block_bytes(config: TextConfig, dtype: torch.dtype) -> int:
    """Memory for the keys and values of one block in every layer."""
    return 2 * config.num_layers * BLOCK_TOKENS * config.num_kv_heads * config.head_dim * dtype.itemsize


class KVPool:
    """Keys and values of all cached tokens, `[layers, slots, G, D]`; block b has the slots from 16 b on.

    All numbers in it are finite at any time outside a pass, because a masked key still multiplies.
    """

    def __init__(self, config: TextConfig, blocks: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_layers, blocks * BLOCK_TOKENS, config.num_kv_heads, config.head_dim)
        # Filled at once: memory that is missing shows at the start, not in the middle of a shift.
        self.keys = torch.empty(shape, dtype=dtype, device=device).zero_()
        self.values = torch.empty(shape, dtype=dtype, device=device).zero_()

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.keys.device

    @property
    def nbytes(self) -> int:
        """Its memory."""
        return self.keys.nbytes + self.values.nbytes

    def store(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Keep `[T, G, D]` in the slots `[T]`."""
        self.keys[layer].index_copy_(0, slots, keys)
        self.values[layer].index_copy_(0, slots, values)

    def read(self, layer: int, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[n, L, G, D]` from the slots `[n, L]`."""
        flat = slots.flatten()
        shape = (*slots.shape, *self.keys.shape[2:])
        return (
            self.keys[layer].index_select(0, flat).view(shape),
            self.values[layer].index_select(0, flat).view(shape),
        )

    def clear(self, blocks: Sequence[int]) -> None:
        """Make blocks finite again after a computation that was not."""
        slots = slots_of(torch.tensor([list(blocks)], dtype=torch.long, device=self.device))[0]
        self.keys[:, slots] = 0
        self.values[:, slots] = 0


def slots_of(tables: Tensor) -> Tensor:
    """The slots `[n, 16 B]` of block tables `[n, B]`."""
    places = torch.arange(BLOCK_TOKENS, device=tables.device)
    return (tables[:, :, None] * BLOCK_TOKENS + places).flatten(1)


@dataclass(frozen=True, eq=False)
class Group:
    """Neighbouring sequences in a packed batch that have equally many new tokens and attend in one call.

    `slots` `[count, L]` hold their keys, the new ones among them; None where the new tokens are all there is.
    `mask` `[1 or count, 1, t, L]` says what each new token sees; None is causal. With one new token each,
    `lengths` `[count]` say the same: how many of its first keys a sequence sees.
    """

    count: int
    length: int
    slots: Tensor | None = None
    mask: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def tokens(self) -> int:
        """New tokens of all its sequences."""
        return self.count * self.length


@dataclass(frozen=True, eq=False)
class Layout:
    """How the T packed tokens of a pass attend: their groups in order, and the slots `[T]` that keep them."""

    groups: tuple[Group, ...]
    pool: KVPool | None = None
    slots: Tensor | None = None

    @staticmethod
    def causal(lengths: Sequence[int]) -> "Layout":
        """Whole sequences of these lengths, of which nothing is kept."""
        return Layout(tuple(Group(len(list(run)), length) for length, run in groupby(lengths)))

    @staticmethod
    def next_tokens(pool: KVPool, tables: Tensor, lengths: Tensor) -> "Layout":
        """One new token for each of n sequences with block tables `[n, B]`, `lengths` `[n]` tokens cached.

        Its shapes depend on n and B alone.
        """
        slots = slots_of(tables)
        mask = torch.arange(slots.shape[1], device=slots.device) <= lengths[:, None]
        new = slots.gather(1, lengths[:, None])[:, 0]
        return Layout((Group(len(tables), 1, slots, mask[:, None, None], lengths + 1),), pool, new)
