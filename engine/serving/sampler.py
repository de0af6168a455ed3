"""Chooses the next token from logits."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.checkpoint.generation import GenerationDefaults
from engine.serving.requests import Sampling


def completed(sampling: Sampling, defaults: GenerationDefaults) -> Sampling:
    """The sampling with the checkpoint's defaults wherever it says nothing."""
    return replace(
        sampling,
        **{
            name: getattr(defaults, name)
            for name in ("temperature", "top_p", "repetition_penalty")
            if getattr(sampling, name) is None
        },
    )


class Sampler:
    """Greedy at temperature 0, else from the nucleus `top_p`; the same seed makes the same choices.

    What a sampling leaves open is neutral here.
    """

    def __init__(self, sampling: Sampling, prompt_ids: Sequence[int] = ()) -> None:
        """`prompt_ids` are what the penalty for repetition counts as said already."""
        self._temperature = sampling.temperature or 0.0
        self._top_p = 1.0 if sampling.top_p is None else sampling.top_p
        self._penalty = sampling.repetition_penalty or 1.0
        self._seen = set(prompt_ids)
        # On the processor wherever the logits are, so that a seed means the same on every device.
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def choose(self, logits: Tensor) -> int:
        """The next id for fp32 logits `[V]`; an id at minus infinity is never chosen."""
        token = self._draw(self._penalized(logits))
        self._seen.add(token)
        return token

    def _draw(self, logits: Tensor) -> int:
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, ids = (logits / self._temperature).softmax(-1).cpu().sort(descending=True)
        before = probabilities.cumsum(0) - probabilities
        probabilities[before >= self._top_p] = 0
        return int(ids[torch.multinomial(probabilities, 1, generator=self._generator)])

    def _penalized(self, logits: Tensor) -> Tensor:
        """As transformers does it: a seen token's logit is divided by the penalty, or multiplied below 0."""
        if self._penalty == 1 or not self._seen:
            return logits
        seen = torch.tensor(sorted(self._seen), device=logits.device)
        said = logits[seen]
        weaker = torch.where(said > 0, said / self._penalty, said * self._penalty)
        return logits.index_copy(0, seen, weaker)
