"""Decoding in fixed shapes: texts that fill a shape up change nothing for the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.model import ErnieVL, load
from engine.model.cache import BLOCK_TOKENS, PADDING_BLOCK, KVPool
from engine.serving import forward
from engine.serving.decoding import LEAST_BLOCKS, DecodeBatch, Decoding, bucket, filled_up

TABLES = [[3, 1, PADDING_BLOCK], [2, 4, 5]]
LENGTHS = [20, 40]


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> ErnieVL:
    """A tiny random network."""
    return load(tiny_checkpoint, torch.float32, "cpu")


@pytest.fixture
def pool(network: ErnieVL) -> Iterator[KVPool]:
    """Blocks that hold keys and values of earlier tokens."""
    made = KVPool(network.config.text, 8, torch.float32, torch.device("cpu"))
    for part in (made.keys, made.values):
        part[:, BLOCK_TOKENS:].normal_(generator=torch.Generator().manual_seed(0))
    yield made
    assert made.keys.isfinite().all()


def step() -> DecodeBatch:
    """One more token for two texts of different lengths."""
    return DecodeBatch(
        torch.tensor([7, 9]), torch.tensor(LENGTHS), torch.tensor(TABLES), torch.tensor(LENGTHS)
    )


@torch.inference_mode()
@pytest.mark.parametrize(("texts", "blocks"), [(2, 3), (2, 16), (4, 3), (8, 32)])
def test_filling_a_step_up_changes_no_answer(network: ErnieVL, pool: KVPool, texts: int, blocks: int) -> None:
    """Neither logits nor what is kept of the texts' own tokens."""
    expected = forward.decode(network, pool, *step())
    kept = pool.keys[:, BLOCK_TOKENS:].clone()

    found = forward.decode(network, pool, *filled_up(step(), texts, blocks))

    torch.testing.assert_close(found[:2], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pool.keys[:, BLOCK_TOKENS:], kept, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_processor_computes_a_step_as_it_comes(network: ErnieVL, pool: KVPool) -> None:
    """There is nothing to capture, so nothing is filled up."""
    assert torch.equal(Decoding(network, pool)(step()), forward.decode(network, pool, *step()))


@pytest.mark.parametrize("number", range(1, 66))
def test_a_bucket_holds_its_number_and_wastes_less_than_half(number: int) -> None:
    """Powers of two, so that few shapes are captured."""
    assert number <= bucket(number) < 2 * number
    assert bucket(number, LEAST_BLOCKS) == max(bucket(number), LEAST_BLOCKS)
    assert bucket(bucket(number)) == bucket(number)


def test_a_step_that_is_too_large_is_refused() -> None:
    """A shape never cuts a text off."""
    with pytest.raises(AssertionError, match="do not fit"):
        filled_up(step(), 1, 3)
    with pytest.raises(AssertionError, match="do not fit"):
        filled_up(step(), 2, 2)
