"""Keys and values of the tokens a sequence has seen, and how its new tokens see one another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.config import TextConfig


class KVCache:
    """Keys and values of one sequence for every layer, `[layers, capacity, kv_heads, head_dim]`."""

    def __init__(self, config: TextConfig, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_layers, capacity, config.num_kv_heads, config.head_dim)
        self._keys = torch.empty(shape, dtype=dtype, device=device)
        self._values = torch.empty(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._keys.shape[1]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store `[new, kv_heads, head_dim]` behind `length` and return all keys and values of the layer.

        The length moves only with `advance`, once every layer has stored the same tokens.
        """
        end = self.length + keys.shape[0]
        assert end <= self.capacity, f"cache of {self.capacity} tokens cannot take {end}"
        self._keys[layer, self.length : end] = keys
        self._values[layer, self.length : end] = values
        return self._keys[layer, :end], self._values[layer, :end]

    def advance(self, new: int) -> None:
        """Count `new` tokens as seen."""
        self.length += new


@dataclass(frozen=True)
class Segment:
    """The new tokens of one sequence inside a packed batch.

    `tree` `[length, length]` says which new tokens each new token sees besides everything cached; None is
    causal.
    """

    length: int
    cache: KVCache | None = None
    tree: Tensor | None = None

    @property
    def past(self) -> int:
        """Tokens already cached."""
        return self.cache.length if self.cache else 0

    def visible(self, device: torch.device) -> Tensor | None:
        """Boolean mask `[length, past + length]`, or None where plain causal or full attention is meant."""
        if self.tree is None and (self.past == 0 or self.length == 1):
            return None
        new = self.tree
        if new is None:
            new = torch.ones(self.length, self.length, dtype=torch.bool, device=device).tril()
        past = torch.ones(self.length, self.past, dtype=torch.bool, device=device)
        return torch.cat((past, new), dim=1)

    @property
    def is_causal(self) -> bool:
        """True where no mask is needed but order is: the first tokens of a sequence."""
        return self.tree is None and self.past == 0
