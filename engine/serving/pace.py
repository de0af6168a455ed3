"""How many tokens make a step that takes no longer than a verdict may wait."""

import time

import torch

from engine.model.cache import Layout
from engine.model.network import ErnieVL
from engine.serving.requests import EngineConfig
from engine.serving.scheduler import Limits

STEP_SECONDS = 0.5
"""What the prompts of a step of verdicts may take: longer ones would gain little, and who arrives waits."""

REPORT_SHARE = 4
"""A step that reads the prompts of reports is so many times shorter, because a verdict may wait behind it."""

SAMPLE_TOKENS = 64
FEWEST_TOKENS, MOST_TOKENS = 128, 8192


def limits(network: ErnieVL, config: EngineConfig) -> Limits:
    """What the configuration says, or what this device computes in the time of a step."""
    tokens = config.step_tokens
    if tokens is None:
        tokens = max(FEWEST_TOKENS, min(MOST_TOKENS, int(tokens_per_second(network) * STEP_SECONDS)))
    return Limits(config.max_batch, tokens, max(1, tokens // REPORT_SHARE))


@torch.inference_mode()
def tokens_per_second(network: ErnieVL) -> float:
    """Tokens of a prompt a second, measured on a short one after another that warms up."""
    token_ids = torch.arange(SAMPLE_TOKENS, device=network.device) % network.config.text.vocab_size
    positions = torch.arange(SAMPLE_TOKENS, device=network.device).expand(3, -1)
    layout = Layout.causal([SAMPLE_TOKENS])
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        network.logits(network.decode(token_ids, positions, None, layout)[-1:]).cpu()
        seconds = time.perf_counter() - start
    return SAMPLE_TOKENS / seconds
