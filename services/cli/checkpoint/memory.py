"""How much memory a checkpoint needs, as it is and after each way of quantizing it."""

from dataclasses import dataclass

from engine import EngineError
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.tensors import StoredTensors
from engine.compression.plan import Options, make_plan
from engine.model.cache import BLOCK_TOKENS, block_bytes
from engine.model.loading import outline
from engine.serving.device import DTYPES

BITS_ELSEWHERE = (8, 4)


@dataclass(frozen=True)
class Need:
    """Bytes of the weights, and of what the cache keeps for each token; None with the reason in `refused`."""

    how: str
    weight_bytes: int | None
    token_bytes: int
    refused: str = ""


def needs(stored: StoredTensors, config: ModelConfig) -> list[Need]:
    """A row for each way of running this checkpoint; our own layout runs as it is."""
    half, single = (
        block_bytes(config.text, DTYPES[name]) // BLOCK_TOKENS for name in ("bfloat16", "float32")
    )
    if stored.manifest.formats:
        size = sum(path.stat().st_size for path in stored.files)
        return [Need("as it is", size, half)]
    weights = outline(config).weight_count
    return [
        Need("as it is, bfloat16 on a GPU", 2 * weights, half),
        Need("as it is, float32 on the processor", 4 * weights, single),
        *(_quantized(stored, config, bits, half) for bits in BITS_ELSEWHERE),
    ]


def _quantized(stored: StoredTensors, config: ModelConfig, bits: int, token_bytes: int) -> Need:
    how = f"experts in 2 bits, --bits-elsewhere {bits}"
    try:
        return Need(how, make_plan(stored, config, Options(bits_elsewhere=bits)).bytes, token_bytes)
    except EngineError as error:
        return Need(how, None, token_bytes, error.detail)
