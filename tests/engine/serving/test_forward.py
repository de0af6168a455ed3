"""Packed passes: whatever is computed beside a sequence, and in whatever chunks, its numbers are the same."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import ErnieVL, load
from engine.model.cache import BLOCK_TOKENS, PADDING_BLOCK, KVPool
from engine.serving import forward
from engine.serving.executor import blocks_for
from engine.serving.forward import Chunk
from tests.engine.tiny import SPECIAL_TOKENS

TOLERANCE = 1e-4
ROWS, BLOCKS = 6, 5
"""The shape that a step is filled up to."""


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> ErnieVL:
    """A tiny network."""
    return load(tiny_checkpoint, torch.float32, "cpu")


def _words(length: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(len(SPECIAL_TOKENS), 400, (length,), generator=draw)


def _positions(start: int, end: int) -> torch.Tensor:
    return torch.arange(start, end).expand(3, -1)


def _whole(network: ErnieVL, words: torch.Tensor) -> torch.Tensor:
    """The last token's logits, without any cache."""
    logits: torch.Tensor = network(words, None, None)
    return logits[-1]


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=ROWS), data=st.data())
@settings(max_examples=15)
@torch.inference_mode()
def test_a_step_filled_up_to_a_shape_says_the_same(
    network: ErnieVL, lengths: list[int], data: st.DataObject
) -> None:
    """Rows of the padding block, and table entries beyond a sequence's end, change nothing."""
    pool = KVPool(network.config.text, 1 + ROWS * BLOCKS, torch.float32, torch.device("cpu"))
    order = data.draw(st.permutations(range(1, 1 + ROWS * BLOCKS)))
    tables = [order[row * BLOCKS : (row + 1) * BLOCKS] for row in range(len(lengths))]
    texts = [_words(length + 1, seed) for seed, length in enumerate(lengths)]
    chunks = [
        Chunk(text[:-1], _positions(0, length), 0, table[: blocks_for(length)])
        for text, length, table in zip(texts, lengths, tables, strict=True)
    ]
    forward.prefill(network, pool, chunks)
    spare = ROWS - len(lengths)
    counted = torch.tensor(lengths + [0] * spare)
    logits = forward.decode(
        network,
        pool,
        torch.tensor([int(text[-1]) for text in texts] + [0] * spare),
        counted,
        torch.tensor([list(table) for table in tables] + [[PADDING_BLOCK] * BLOCKS] * spare),
        counted,
    )
    for text, row in zip(texts, logits, strict=False):
        torch.testing.assert_close(row, _whole(network, text), rtol=0, atol=TOLERANCE)


@given(cuts=st.sets(st.integers(1, 99), max_size=5), other=st.integers(1, 40))
@settings(max_examples=15)
@torch.inference_mode()
def test_pieces_of_a_prompt_beside_another_say_the_same(network: ErnieVL, cuts: set[int], other: int) -> None:
    """Cut anywhere, inside blocks as well, with another sequence in every pass."""
    pool = KVPool(network.config.text, 60, torch.float32, torch.device("cpu"))
    words = _words(100, seed=1)
    table, free = list(range(1, 8)), 8
    ends = [0, *sorted(cuts), 100]
    for start, end in pairwise(ends):
        neighbour = Chunk(
            _words(other, seed=end), _positions(0, other), 0, range(free, free + blocks_for(other))
        )
        chunk = Chunk(words[start:end], _positions(start, end), start, table[: blocks_for(end)])
        logits = forward.prefill(network, pool, [neighbour, chunk])
        free += blocks_for(other)
    torch.testing.assert_close(logits[1][0], _whole(network, words), rtol=0, atol=TOLERANCE)


@torch.inference_mode()
def test_a_prefix_is_read_while_it_is_computed(network: ErnieVL) -> None:
    """One sequence computes the first block, the other stands behind it, in the same pass."""
    pool = KVPool(network.config.text, 9, torch.float32, torch.device("cpu"))
    words = _words(BLOCK_TOKENS + 5, seed=2)
    first = Chunk(words[:BLOCK_TOKENS], _positions(0, BLOCK_TOKENS), 0, [1])
    rest = Chunk(words[BLOCK_TOKENS:], _positions(BLOCK_TOKENS, len(words)), BLOCK_TOKENS, [1, 2])
    logits = forward.prefill(network, pool, [rest, first])
    torch.testing.assert_close(logits[0][0], _whole(network, words), rtol=0, atol=TOLERANCE)
