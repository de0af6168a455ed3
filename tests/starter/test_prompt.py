"""The starter is asked in exactly the tokens that it was trained on."""

import numpy as np
import pytest
import torch

from engine import Image, Prompt
from engine.checkpoint.config import ModelConfig
from engine.serving.choices import choice_trie
from engine.serving.prompts import PromptEncoder
from starter.examples import Example, ExampleMaker
from starter.network import starter_config, starter_images, write_configs
from starter.pictures.samples import Sample
from starter.pictures.targets import diagnose_text, inspect_text
from starter.pictures.vocabulary import build_tokenizer, train_tokenizer
from tests.engine.tiny import random_pixels

SAMPLE = Sample(
    pixels=random_pixels(np.random.default_rng(3), 150, 180),
    part="machined surface",
    classes=("good", "scratch", "weld spatter"),
    label="weld spatter",
    boxes=(),
    mask=None,
    source="noise",
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> PromptEncoder:
    """The starter's files as its trainer writes them, without the weights."""
    directory = tmp_path_factory.mktemp("starter")
    config = starter_config(build_tokenizer(directory))
    write_configs(directory, config)
    return PromptEncoder(directory, ModelConfig.from_json(config), 2048)


def _trained(thinking: bool) -> tuple[Example, list[int], list[int]]:
    """A training example, its prompt's ids and its answer's."""
    example = ExampleMaker(train_tokenizer(), starter_images()).make(SAMPLE, thinking)
    is_answer = example.weights > 0
    return example, example.token_ids[~is_answer].tolist(), example.token_ids[is_answer].tolist()


@pytest.mark.parametrize("thinking", [False, True])
def test_the_prompt_is_the_trained_one(encoder: PromptEncoder, thinking: bool) -> None:
    """Words, template, image tokens and patches."""
    example, prompt, _ = _trained(thinking)
    text = (diagnose_text if thinking else inspect_text)(SAMPLE.part, SAMPLE.classes)
    encoded = encoder.encode(Prompt((text, Image(SAMPLE.pixels))), thinking, answer_tokens=1)
    assert encoded.token_ids.tolist() == prompt
    assert encoded.patches is not None
    assert torch.equal(encoded.patches, example.patches)


def test_a_choice_is_the_trained_answer(encoder: PromptEncoder) -> None:
    """The same pieces of words, and the same end."""
    trie = choice_trie(SAMPLE.classes, encoder.tokenizer)
    tokens = [token for _, token in trie.paths[SAMPLE.classes.index(SAMPLE.label)]]
    assert tokens == _trained(thinking=False)[2]


def test_the_reasoning_is_closed_as_trained(encoder: PromptEncoder) -> None:
    """What the engine forces behind a cut-off thought is what stands there in the training data."""
    _, _, answer = _trained(thinking=True)
    closing = [encoder.tokenizer.id_of("</think>"), *encoder.separator()]
    start = answer.index(closing[0])
    assert answer[start : start + len(closing)] == closing
    assert answer[start - 1] == encoder.tokenizer.encode("\n")[-1]
    assert encoder.tokenizer.decode([answer[start + len(closing)]]).startswith("{")
