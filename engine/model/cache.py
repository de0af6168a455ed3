"""Keys and values in one pool of blocks, and which of them each new token sees.

T new tokens, n sequences with t new tokens and L keys each, G key/value heads, D head size
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor

from engine.checkpoint.config import TextConfig

BLOCK_TOKENS = 16
"""Tokens of a block: what is shared, taken and given back as a whole (Kwon et al. 2023)."""

PADDING_BLOCK = 0
"""The block that no sequence owns: what is filled up to a fixed shape reads and writes there."""

ROW_NUMBERS = 8
"""A row of a mask begins at a multiple of so many numbers, or torch's kernels for a GPU copy it first."""


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
        self._sharing = config.num_heads // config.num_kv_heads

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

    def mask(self, seen: Tensor) -> Tensor:
        """A mask of what each new token sees, `[1 or n, 1, t, L]`, as attention takes it on this device.

        On a GPU that are numbers `[1 or n, 1, t R, L]` to be added to the scores, of the R query heads that
        share a key head one after the other; for one token a row serves them all. Layers need not make them.
        """
        seen = seen.to(self.device)
        if self.device.type != "cuda":
            return seen
        if seen.shape[-2] > 1:
            seen = seen.repeat_interleave(self._sharing, dim=-2)
        *rows, keys = seen.shape
        whole = -(-keys // ROW_NUMBERS) * ROW_NUMBERS
        added = torch.zeros(*rows, whole, dtype=self.keys.dtype, device=self.device)[..., :keys]
        return added.masked_fill_(seen.logical_not(), float("-inf"))

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
    `mask` is the pool's for what each new token sees; without it they are the last of the keys, and causal.
    With one new token each, `lengths` `[count]` say the same: how many of its first keys a sequence sees.
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

    @property
    def keys(self) -> int:
        """Of each sequence."""
        return self.length if self.slots is None else self.slots.shape[1]

    @cached_property
    def seen(self) -> Tensor | None:
        """The mask, also where it is causal but the new tokens are not all there is."""
        if self.mask is not None or self.keys == self.length:
            return self.mask
        return torch.ones(self.length, self.keys, dtype=torch.bool).tril(self.keys - self.length)[None, None]


@dataclass(frozen=True, eq=False)
class AttentionLayout:
    """How the T packed tokens of a pass attend: their groups in order, and the slots `[T]` that keep them."""

    groups: tuple[Group, ...]
    pool: KVPool | None = None
    slots: Tensor | None = None

    @staticmethod
    def causal(lengths: Sequence[int]) -> "AttentionLayout":
        """Whole sequences of these lengths, of which nothing is kept."""
        return AttentionLayout(tuple(Group(len(list(run)), length) for length, run in groupby(lengths)))

    @staticmethod
    def next_tokens(pool: KVPool, tables: Tensor, lengths: Tensor) -> "AttentionLayout":
        """One new token for each of n sequences with block tables `[n, B]`, `lengths` `[n]` tokens cached.

        Its shapes depend on n and B alone.
        """
        slots = slots_of(tables)
        mask = torch.arange(slots.shape[1], device=slots.device) <= lengths[:, None]
        new = slots.gather(1, lengths[:, None])[:, 0]
        seen = pool.mask(mask[:, None, None])
        return AttentionLayout((Group(len(tables), 1, slots, seen, lengths + 1),), pool, new)
