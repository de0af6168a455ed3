"""How many tokens make a step that takes no longer than a verdict may wait."""

import time

import torch

from engine.model.cache import AttentionLayout
from engine.model.network import ErnieVL
from engine.serving.requests import EngineConfig
from engine.serving.scheduler import Limits

STEP_SECONDS = 0.5
"""What the prompts of a step of verdicts may take: longer ones would gain little, and who arrives waits."""

SHORTER = 4
"""A step that prefills the prompts of reports is so many times shorter: a verdict may wait behind it."""

KEPT = 0.8
"""Of what earlier steps count beside the present one: a dozen steps forget a busy moment."""

SAMPLE_TOKENS = 64
FEWEST_TOKENS, MOST_TOKENS = 128, 8192


class Pace:
    """The limits of a step, from how fast the device has prefilled lately, their images included.

    A configured `step_tokens` stands instead. Owned by the engine's thread, but for `batch`.
    """

    def __init__(self, network: ErnieVL, config: EngineConfig) -> None:
        self.batch = config.max_batch
        self._fixed = config.step_tokens
        self._seconds = STEP_SECONDS
        self._tokens = 0.0 if self._fixed else tokens_per_second(network) * STEP_SECONDS

    @property
    def limits(self) -> Limits:
        """What the next step may hold."""
        tokens = self._fixed or int(self._tokens / self._seconds * STEP_SECONDS)
        if not self._fixed:
            tokens = max(FEWEST_TOKENS, min(MOST_TOKENS, tokens))
        return Limits(self.batch, tokens, max(1, tokens // SHORTER))

    def note(self, tokens: int, seconds: float) -> None:
        """A step has read so many tokens of prompts."""
        self._tokens = KEPT * self._tokens + tokens
        self._seconds = KEPT * self._seconds + seconds


@torch.inference_mode()
def tokens_per_second(network: ErnieVL) -> float:
    """Tokens of a prompt a second, measured on a short one after another that warms up."""
    token_ids = torch.arange(SAMPLE_TOKENS, device=network.device) % network.config.text.vocab_size
    positions = torch.arange(SAMPLE_TOKENS, device=network.device).expand(3, -1)
    layout = AttentionLayout.causal([SAMPLE_TOKENS])
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        network.logits(network.hidden_states(token_ids, positions, None, layout)[-1:]).cpu()
        seconds = time.perf_counter() - start
    return SAMPLE_TOKENS / seconds
