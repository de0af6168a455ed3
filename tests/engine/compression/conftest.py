"""A checkpoint small enough to be compressed in seconds, and what the model will be asked about."""

from pathlib import Path

import numpy as np
import pytest

from engine import Image, Prompt
from engine.compression import Example
from tests.engine.tiny import Shape, random_pixels, write_checkpoint

SHAPE = Shape(layers=3, hidden_size=128, head_dim=32, expert_sizes=(128, 128), experts=2, top_k=1)
"""The smallest that fits the 2-bit code, with a dense layer and two sparse ones."""


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint in the released layout; tests must not change it."""
    return write_checkpoint(tmp_path_factory.mktemp("source"), SHAPE, seed=2)


@pytest.fixture(scope="session")
def examples() -> tuple[Example, ...]:
    """A question with a picture and its answer, and one without."""
    pixels = random_pixels(np.random.default_rng(6), 84, 84)
    return (
        Example(Prompt(("Inspect the part.", Image(pixels))), thinking=False, answer="scratch"),
        Example(Prompt(("Which defects does a pit hole resemble?",)), thinking=True, answer=""),
    )
