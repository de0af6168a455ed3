"""How much memory the caches take, and what becomes of what does not fit."""

from pathlib import Path

import pytest
import torch

from engine import ConfigInvalid, Engine, EngineConfig, OutOfMemory
from engine.model import ErnieVL, load
from engine.model.cache import BLOCK_TOKENS, block_bytes
from engine.serving.features import Features
from engine.serving.memory import CACHE_SHARE, cache_budget, free_bytes
from engine.serving.prompts import PromptImage

CPU = torch.device("cpu")
PLENTY = 1 << 40


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> ErnieVL:
    """A tiny network."""
    return load(tiny_checkpoint, torch.float32, "cpu")


def _image(name: bytes, side: int = 4) -> PromptImage:
    """A picture of noise, as the encoder hands it on."""
    patches = torch.randn(side * side, 588, generator=torch.Generator().manual_seed(name[0]))
    return PromptImage(name, (1, side, side), side * side // 4, lambda: patches)


def test_the_cache_takes_a_share_of_what_is_free(network: ErnieVL) -> None:
    """And no more than could ever be used."""
    text = network.config.text
    budget = cache_budget(text, torch.float32, CPU, None, PLENTY)
    taken = budget.blocks * block_bytes(text, torch.float32) + budget.feature_bytes
    assert 0.5 < taken / (free_bytes(CPU) * CACHE_SHARE["cpu"]) < 1.5
    assert cache_budget(text, torch.float32, CPU, None, 10 * BLOCK_TOKENS).tokens == 10 * BLOCK_TOKENS


def test_the_cache_takes_what_it_is_given(network: ErnieVL) -> None:
    """Keys, values and features together."""
    text = network.config.text
    for wanted in (100_000, 10_000_000):
        budget = cache_budget(text, torch.float32, CPU, wanted, PLENTY)
        taken = budget.blocks * block_bytes(text, torch.float32) + budget.feature_bytes
        assert wanted - 2 * block_bytes(text, torch.float32) < taken <= wanted
    with pytest.raises(ConfigInvalid, match="a cache of 9 bytes"):
        cache_budget(text, torch.float32, CPU, 9, PLENTY)


def test_a_request_is_refused_by_what_it_needs_at_most(network: ErnieVL) -> None:
    """The last one that fits is taken."""
    budget = cache_budget(network.config.text, torch.float32, CPU, 100_000, PLENTY)
    budget.check(1, budget.tokens)
    with pytest.raises(OutOfMemory, match=f"hold {budget.tokens} tokens"):
        budget.check(1, budget.tokens + 1)


@torch.inference_mode()
def test_an_image_is_seen_once_as_long_as_there_is_room(network: ErnieVL) -> None:
    """The longest unused goes first; asking for one keeps it."""
    first, second, third = (_image(name) for name in (b"1", b"2", b"3"))
    size = first.tokens * network.config.text.hidden_size * 4
    features = Features(network, budget=2 * size)
    seen = features.of([first, second, first])
    assert (features.seen, features.reused) == (2, 1)
    assert features.touch(b"1")
    features.of([third])
    assert [features.touch(name) for name in (b"1", b"2", b"3")] == [True, False, True]
    torch.testing.assert_close(features.of([second])[b"2"], seen[b"2"])
    large = _image(b"4", side=8)
    assert features.of([large])[b"4"].shape[0] == large.tokens
    assert not features.touch(b"4")


@torch.inference_mode()
def test_features_that_are_no_numbers_are_not_kept(network: ErnieVL) -> None:
    """The next request sees the image anew."""
    broken = PromptImage(b"x", (1, 4, 4), 4, lambda: torch.full((16, 588), torch.nan))
    features = Features(network, budget=PLENTY)
    features.of([broken])
    assert not features.touch(b"x")


def test_no_more_context_is_promised_than_the_cache_holds(tiny_checkpoint: Path) -> None:
    """So that who asks for a whole context's answer is served."""
    with Engine(EngineConfig(tiny_checkpoint, device="cpu", cache_bytes=90_000)) as engine:
        assert engine.info.max_model_len == engine.stats().cache_blocks * BLOCK_TOKENS
        assert engine.stats().cache_bytes <= 90_000
