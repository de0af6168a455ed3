"""Scores of choices: exact, whatever they share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import ComputationFailed, Engine, EngineConfig, Image, Prompt, PromptInvalid
from engine.checkpoint.tokenizer import Tokenizer
from engine.model import load
from engine.serving.choices import choice_trie
from engine.serving.prompts import PromptEncoder
from tests.engine.alone import Alone
from tests.engine.tiny import Shape, random_pixels, write_checkpoint

CHOICES = ("good", "scratch", "scratched", "pit", "pit hole", "crack")


@torch.inference_mode()
def _step_by_step(checkpoint: Path, prompt: Prompt, choices: Sequence[str]) -> list[float]:
    """Each choice by itself: its tokens fed one by one, their log-probabilities summed."""
    network = load(checkpoint, torch.float32, "cpu")
    encoder = PromptEncoder(checkpoint, network.config, 4096)
    encoded = encoder.encode(prompt, thinking=False, answer_tokens=0)
    scores = []
    for choice in choices:
        answer = [*encoder.tokenizer.encode(choice), encoder.tokenizer.eos_id]
        sequence = Alone(network, encoded, len(answer))
        score = 0.0
        for token in answer:
            score += float(sequence.last.log_softmax(-1)[token])
            sequence.append([token])
        scores.append(score)
    return scores


def test_a_score_is_the_sum_of_the_step_by_step_log_probabilities(
    engine: Engine, tiny_checkpoint: Path, picture: Prompt
) -> None:
    """Of every token of the choice and of the end behind it."""
    scores = engine.score(picture, CHOICES).result(30).log_probabilities
    assert scores == pytest.approx(_step_by_step(tiny_checkpoint, picture, CHOICES), abs=1e-4)


def test_frames_scored_together_score_as_they_do_alone(engine: Engine) -> None:
    """Images of several sizes, several images in one prompt, and a prompt without any."""
    rng = np.random.default_rng(2)
    images = [Image(random_pixels(rng, *size)) for size in ((60, 60), (60, 60), (120, 80), (90, 150))]
    prompts = [Prompt(("Inspect.", image)) for image in images]
    prompts += [Prompt((images[0], "Compare.", images[2])), Prompt(("Inspect nothing.",))]
    alone = [engine.score(prompt, CHOICES).result(30).log_probabilities for prompt in prompts]
    futures = [engine.score(prompt, CHOICES) for prompt in prompts]
    together = [future.result(30).log_probabilities for future in futures]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_choices_that_begin_alike_are_computed_once(tiny_checkpoint: Path) -> None:
    """The trie has one node for each distinct prefix, and the end token costs nothing."""
    tokenizer = Tokenizer(tiny_checkpoint)
    trie = choice_trie(CHOICES, tokenizer)
    answers = [tokenizer.encode(choice) for choice in CHOICES]
    prefixes = {tuple(answer[:end]) for answer in answers for end in range(1, len(answer) + 1)}
    assert trie.nodes == len(prefixes)
    assert trie.nodes < sum(len(answer) for answer in answers)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ((), "at least one"),
        ("good", "list"),
        (("good", ""), "empty"),
        (("good", " "), "empty"),
        (("good", "pit", "good"), "'good' is there twice"),
        (("good</s>", "pit"), "control token"),
    ],
)
def test_choices_that_cannot_be_told_apart_are_refused(
    engine: Engine, picture: Prompt, choices: Sequence[str], said: str
) -> None:
    """The future holds the error; nothing is computed."""
    fault = engine.score(picture, choices).exception(30)
    assert isinstance(fault, PromptInvalid)
    assert said in str(fault)


def test_half_precision_scores_nearly_the_same(
    engine: Engine, tiny_checkpoint: Path, picture: Prompt
) -> None:
    """bfloat16 weights with fp32 routers: every dtype meets its like, and the scores stay close."""
    exact = engine.score(picture, CHOICES).result(30).log_probabilities
    with Engine(EngineConfig(tiny_checkpoint, device="cpu", dtype="bfloat16")) as rounded:
        scores = rounded.score(picture, CHOICES).result(30).log_probabilities
        assert rounded.info.dtype == "bfloat16"
    np.testing.assert_allclose(scores, exact, rtol=0.1)


def test_output_that_is_no_number_fails_its_own_request_only(tmp_path: Path) -> None:
    """One poisoned token among the weights: the frame whose prompt holds it fails, its batch mates do not."""
    write_checkpoint(tmp_path, Shape(tied=False), seed=3)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.embed_tokens.weight"][Tokenizer(tmp_path).encode("~")] = torch.nan
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with Engine(EngineConfig(tmp_path, device="cpu")) as engine:
        prompts = [Prompt((text,)) for text in ("fine", "not ~ fine", "fine too")]
        futures = [engine.score(prompt, ["good", "pit"]) for prompt in prompts]
        faults = [future.exception(30) for future in futures]
    assert [type(fault) for fault in faults] == [type(None), ComputationFailed, type(None)]
