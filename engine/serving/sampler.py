"""Chooses the next token from logits."""

import torch
from torch import Tensor

from engine.serving.requests import Sampling


class Sampler:
    """Greedy at temperature 0, else from the nucleus `top_p`; the same seed makes the same choices."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        # On the processor wherever the logits are, so that a seed means the same on every device.
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def choose(self, logits: Tensor) -> int:
        """The next id for fp32 logits `[V]`; an id at minus infinity is never chosen."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = (logits / self._temperature).softmax(-1).cpu().sort(descending=True)
        before = probabilities.cumsum(0) - probabilities
        probabilities[before >= self._top_p] = 0
        return int(ids[torch.multinomial(probabilities, 1, generator=self._generator)])
