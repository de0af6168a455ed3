"""How much memory the caches may take, from what the device has left once the weights are loaded."""

from dataclasses import dataclass
from pathlib import Path

import torch

from engine.checkpoint.config import TextConfig
from engine.errors import ConfigInvalid, OutOfMemory
from engine.model.cache import BLOCK_TOKENS, block_bytes

CACHE_SHARE = {"cpu": 0.25, "cuda": 0.8}
"""Of the free memory; the rest is for activations, and on a processor for the other programs."""

FEATURE_SHARE = 0.1
"""Of the cache's memory goes to the features of images, the rest to keys and values."""

CONTEXTS_A_REQUEST = 2
"""No more than so many whole contexts for each request that runs at once: further ones would lie idle."""


@dataclass(frozen=True)
class CacheBudget:
    """Blocks of the pool, the padding block among them, and bytes for features."""

    blocks: int
    block_bytes: int
    feature_bytes: int

    @property
    def tokens(self) -> int:
        """Tokens that one request alone may fill."""
        return (self.blocks - 1) * BLOCK_TOKENS

    def check(self, prompt: int, longest: int) -> None:
        """Raise OutOfMemory for a request that would never fit, however long it waited."""
        if longest > self.tokens:
            raise OutOfMemory(
                f"prompt of {prompt} tokens and answer of up to {longest - prompt} need "
                f"{-(-longest // BLOCK_TOKENS) * self.block_bytes} bytes of cache; its "
                f"{(self.blocks - 1) * self.block_bytes} bytes hold {self.tokens} tokens",
                "use a smaller image, a shorter text or answer, or raise cache_bytes",
            )


def cache_budget(
    config: TextConfig,
    dtype: torch.dtype,
    device: torch.device,
    wanted: int | None,
    most_tokens: int,
) -> CacheBudget:
    """Share `wanted` bytes out, or None for a share of what is free and at most `most_tokens` tokens.

    Raises ConfigInvalid where not even one block fits.
    """
    size = block_bytes(config, dtype)
    total = int(free_bytes(device) * CACHE_SHARE[device.type]) if wanted is None else wanted
    blocks = int(total * (1 - FEATURE_SHARE)) // size
    if wanted is None:
        blocks = min(blocks, 1 + -(-most_tokens // BLOCK_TOKENS))
    if blocks < 2:
        raise ConfigInvalid(
            f"a cache of {total} bytes holds {blocks} blocks of {size} bytes, and two are the least",
            "raise cache_bytes, or free memory on the device",
        )
    return CacheBudget(blocks, size, int(blocks * size * FEATURE_SHARE / (1 - FEATURE_SHARE)))


def free_bytes(device: torch.device) -> int:
    """Memory that nobody uses: of the GPU, or of the machine and this process's control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = {
        line.split(":")[0]: int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    }["MemAvailable"]
    group = Path("/sys/fs/cgroup")
    limit, used = (_number(group / name) for name in ("memory.max", "memory.current"))
    return available if limit is None or used is None else max(0, min(available, limit - used))


def _number(path: Path) -> int | None:
    """The number in a file of the control group; None where there is no file, or no limit."""
    if not path.exists():
        return None
    text = path.read_text(encoding="ascii").strip()
    return int(text) if text.isdigit() else None
