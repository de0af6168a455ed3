"""How many tokens a step may hold, as the device turns out to be."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import EngineConfig
from engine.model import ErnieVL, load
from engine.serving.pace import FEWEST_TOKENS, MOST_TOKENS, SHORTER, STEP_SECONDS, Pace

MANY_STEPS = 40


@pytest.fixture(scope="module")
def network(tiny_checkpoint: Path) -> ErnieVL:
    """A tiny network."""
    return load(tiny_checkpoint, torch.float32, "cpu")


@given(speed=st.floats(1.0, 1e6), busy=st.floats(0.001, 60.0))
def test_a_busy_moment_is_forgotten(
    network: ErnieVL, tiny_checkpoint: Path, speed: float, busy: float
) -> None:
    """However slow a start or a step was, soon a step holds what the device reads in its time."""
    pace = Pace(network, EngineConfig(tiny_checkpoint))
    pace.note(1, busy)
    for _ in range(MANY_STEPS):
        tokens = pace.limits.verdict_tokens
        pace.note(tokens, tokens / speed)
    wanted = min(MOST_TOKENS, max(FEWEST_TOKENS, speed * STEP_SECONDS))
    assert pace.limits.verdict_tokens == pytest.approx(wanted, rel=0.05, abs=1)
    assert pace.limits.report_tokens == pace.limits.verdict_tokens // SHORTER


def test_a_configured_number_stands(network: ErnieVL, tiny_checkpoint: Path) -> None:
    """Whatever is measured."""
    pace = Pace(network, EngineConfig(tiny_checkpoint, step_tokens=40))
    pace.note(1, 10.0)
    assert (pace.limits.verdict_tokens, pace.limits.report_tokens) == (40, 40 // SHORTER)
