"""Fixtures of the engine's tests: one tiny random checkpoint and an engine on it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import Engine, EngineConfig, Image, Prompt
from tests.engine.tiny import Shape, random_pixels, write_checkpoint

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny random checkpoint; tests must not change it."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny-checkpoint"), Shape(), seed=0)


@pytest.fixture(scope="session")
def engine(tiny_checkpoint: Path) -> Iterator[Engine]:
    """An engine that every test may ask, and none may close."""
    with Engine(EngineConfig(tiny_checkpoint, device="cpu")) as started:
        yield started


@pytest.fixture(scope="session")
def picture() -> Prompt:
    """A question with one image."""
    return Prompt(("Inspect the part.", Image(random_pixels(np.random.default_rng(5), 84, 112))))
