"""How tokens are chosen: as the checkpoint recommends, unless a request says otherwise."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from engine import CheckpointInvalid, Sampling
from engine.checkpoint.generation import GenerationDefaults
from engine.serving.sampler import Sampler, completed

Write = Callable[..., GenerationDefaults]


@pytest.fixture
def defaults_of(tmp_path: Path) -> Write:
    """Reads the defaults of a checkpoint with this generation_config.json."""

    def write(**content: Any) -> GenerationDefaults:  # noqa: ANN401 - JSON
        (tmp_path / "generation_config.json").write_text(json.dumps(content), encoding="utf-8")
        return GenerationDefaults.from_checkpoint(tmp_path)

    return write


def test_without_a_file_everything_is_neutral(tmp_path: Path) -> None:
    """Greedy, as before."""
    assert GenerationDefaults.from_checkpoint(tmp_path) == GenerationDefaults()


def test_the_recommended_values_are_read(defaults_of: Write) -> None:
    """Temperature, nucleus, penalty, and further ends of an answer."""
    found = defaults_of(
        do_sample=True, temperature=0.2, top_p=0.8, repetition_penalty=1.05, eos_token_id=[2, 4]
    )
    assert found == GenerationDefaults(0.2, 0.8, 1.05, (2, 4))


@pytest.mark.parametrize(
    ("content", "temperature"),
    [
        ({"do_sample": False, "temperature": 0.9}, 0.0),
        ({"temperature": 0.9}, 0.9),
        ({"top_p": 0.7}, 1.0),
        ({"do_sample": True}, 1.0),
        ({"repetition_penalty": 1.1}, 0.0),
    ],
)
def test_a_file_may_leave_some_of_it_out(
    defaults_of: Write, content: dict[str, Any], temperature: float
) -> None:
    """`do_sample: false` is greedy; a temperature or a nucleus alone means sampling."""
    assert defaults_of(**content).temperature == temperature


@pytest.mark.parametrize("content", [{"temperature": -1}, {"top_p": 2}, {"repetition_penalty": "high"}])
def test_a_value_out_of_range_is_refused(defaults_of: Write, content: dict[str, Any]) -> None:
    """With its name."""
    with pytest.raises(CheckpointInvalid, match=next(iter(content))):
        defaults_of(**content)


def test_a_request_wins_over_the_checkpoint() -> None:
    """Only what it leaves open is filled in."""
    defaults = GenerationDefaults(0.2, 0.8, 1.05)
    assert completed(Sampling(9, temperature=0.0), defaults) == Sampling(9, 0.0, 0.8, repetition_penalty=1.05)
    assert completed(Sampling(9, 1.0, 1.0, repetition_penalty=1.0), defaults).top_p == 1.0


def test_a_repetition_is_penalized_as_in_transformers() -> None:
    """What the prompt holds, and what was written; above zero divided, below multiplied."""
    logits = torch.tensor([2.0, 1.9, -1.0, -1.2, 0.5])
    expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([[0, 2]]), logits[None].clone())[0]
    sampler = Sampler(Sampling(9, repetition_penalty=1.3), prompt_ids=(0, 2))
    assert torch.equal(sampler._penalized(logits), expected)
    assert sampler.choose(logits) == 1
    assert sampler._penalized(logits)[1] == pytest.approx(1.9 / 1.3)


def test_a_forbidden_token_stays_forbidden() -> None:
    """However the others are penalized."""
    logits = torch.tensor([-torch.inf, -3.0])
    assert Sampler(Sampling(9, repetition_penalty=2.0), prompt_ids=(0, 1)).choose(logits) == 1
