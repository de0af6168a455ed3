"""One sequence by itself, computed in chunks of any size: what the engine's answers are compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.model import ErnieVL
from engine.model.cache import KVPool
from engine.serving import forward
from engine.serving.executor import blocks_for
from engine.serving.prompts import EncodedPrompt


class Alone:
    """A prompt and what follows it, in a pool of its own; `last` `[V]` are the newest token's logits."""

    def __init__(self, network: ErnieVL, prompt: EncodedPrompt, capacity: int) -> None:
        """Compute the prompt in one chunk, with room for so many more tokens."""
        blocks = blocks_for(prompt.length + capacity)
        self._network = network
        self._pool = KVPool(network.config.text, 1 + blocks, network.dtype, network.device)
        self._table = list(range(1, 1 + blocks))
        self._length = 0
        self._position = prompt.next_position
        images = [] if prompt.patches is None else [network.see(prompt.patches, prompt.grids)]
        self.last = self._compute(prompt.token_ids, prompt.positions, images)

    def append(self, token_ids: Sequence[int]) -> None:
        """Compute the next tokens."""
        positions = torch.arange(self._position, self._position + len(token_ids)).expand(3, -1)
        self._position += len(token_ids)
        self.last = self._compute(torch.tensor(token_ids), positions, [])

    def _compute(self, token_ids: Tensor, positions: Tensor, images: Sequence[Tensor]) -> Tensor:
        chunk = forward.Chunk(token_ids, positions, self._length, self._table, images)
        self._length += len(token_ids)
        return forward.prefill(self._network, self._pool, [chunk])[0][-1]
