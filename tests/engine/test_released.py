"""Each released revision of the model, in tiny: its prompts, its tokens, its weights, and what it answers."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Ernie4_5_VLMoeForConditionalGeneration

from engine import CheckpointInvalid, Engine, EngineConfig, Image, Prompt, Sampling
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.template import ChatTemplate
from engine.checkpoint.tensors import StoredTensors
from engine.checkpoint.tokenizer import Tokenizer
from engine.model import load
from engine.model.images import ImageProcessor
from engine.serving.prompts import EncodedPrompt, PromptEncoder
from tests.engine.released import ADDED_IDS, REVISIONS, Revision, released_model
from tests.engine.tiny import Shape, random_pixels

PICTURE = Image(random_pixels(np.random.default_rng(3), 84, 112))
SCHEMA = {"enum": ["good", "pit"]}


@pytest.fixture(scope="module")
def model() -> Ernie4_5_VLMoeForConditionalGeneration:
    """The weights that every revision stores."""
    return released_model(Shape(), seed=1)


@pytest.fixture(scope="module", params=REVISIONS, ids=lambda revision: str(revision.name))
def revision(request: pytest.FixtureRequest) -> Revision:
    """Each revision in turn."""
    return request.param  # type: ignore[no-any-return] # pytest does not know it


@pytest.fixture(scope="module")
def directory(
    revision: Revision,
    model: Ernie4_5_VLMoeForConditionalGeneration,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Its files; tests must not change them."""
    directory = tmp_path_factory.mktemp(revision.name)
    revision.write(model, directory)
    return directory


@pytest.fixture(scope="module")
def encoder(directory: Path) -> PromptEncoder:
    """The prompts of the revision."""
    return PromptEncoder(directory, ModelConfig.from_json(read_json(directory / "config.json")), 4000)


@pytest.fixture(scope="module")
def engine(directory: Path) -> Iterator[Engine]:
    """An engine on the revision."""
    with Engine(EngineConfig(directory, device="cpu")) as started:
        yield started


def _prompt(revision: Revision) -> Prompt:
    return Prompt(tuple(PICTURE if part is None else part for part in revision.parts))


def test_the_template_renders_the_printed_prompts(directory: Path, revision: Revision) -> None:
    """Character for character, with the thinking block closed for a verdict and open for a report."""
    template = ChatTemplate.from_checkpoint(directory, Tokenizer(directory).named, thinks=True)
    assert template.render(revision.parts, None, thinking=False) == revision.verdict
    assert template.render(revision.parts, None, thinking=True) == revision.report


def test_a_system_text_stands_before_the_user(directory: Path, revision: Revision) -> None:
    """It takes the place of the template's own."""
    template = ChatTemplate.from_checkpoint(directory, Tokenizer(directory).named, thinks=True)
    rendered = template.render(revision.parts, "Be brief.", thinking=False)
    assert rendered.startswith("<|begin_of_sentence|>Be brief.\nUser: ")


def test_all_revisions_share_their_ids(encoder: PromptEncoder) -> None:
    """Digits are plain pieces, whatever the settings call them; the marks of an image are the added ids."""
    text = "<|begin_of_sentence|>User: 120 scratches<|IMAGE_START|><|IMAGE_PLACEHOLDER|>"
    ids = encoder.tokenizer.encode(text)
    assert ids[0] == ADDED_IDS["<|begin_of_sentence|>"]
    assert [encoder.tokenizer.token_of(token) for token in ids if 3 <= token < 13] == ["1", "2", "0"]
    assert ids[-2:] == [ADDED_IDS["<|IMAGE_START|>"], ADDED_IDS["<|IMAGE_PLACEHOLDER|>"]]
    assert encoder.tokenizer.decode(ids) == "User: 120 scratches"
    encoder.tokenizer.refuse_reserved("120 scratches")


def test_the_areas_of_an_image_are_read_in_either_spelling(directory: Path) -> None:
    """`min_pixels` and `max_pixels`, or the edges of `size`."""
    processor = ImageProcessor.from_checkpoint(directory)
    assert (processor.min_area, processor.max_area) == (3136, 20_000)


def _inputs(encoded: EncodedPrompt, directory: Path) -> dict[str, torch.Tensor]:
    config = ModelConfig.from_json(read_json(directory / "config.json"))
    ids = encoded.token_ids[None]
    assert encoded.patches is not None
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": encoded.patches,
        "image_grid_thw": torch.tensor(encoded.grids),
        "mm_token_type_ids": (ids == config.image_token_id).int(),
        "moe_mm_token_type_ids": torch.isin(ids, torch.tensor(config.image_special_ids)).int(),
    }


@torch.inference_mode()
def test_the_logits_are_those_of_transformers(
    directory: Path, encoder: PromptEncoder, revision: Revision, model: Ernie4_5_VLMoeForConditionalGeneration
) -> None:
    """Whatever the tensors are called; transformers reads the files itself where it knows their names."""
    encoded = encoder.encode(_prompt(revision), thinking=False, answer_tokens=1)
    reference = model
    if revision.name == "PT-native":
        reference = Ernie4_5_VLMoeForConditionalGeneration.from_pretrained(
            directory, attn_implementation="eager", experts_implementation="eager"
        )
    expected = reference(**_inputs(encoded, directory)).logits[0]
    logits = load(directory, torch.float32, "cpu")(
        encoded.token_ids, encoded.patches, torch.tensor(encoded.grids)
    )
    assert (logits - expected).abs().max() < 1e-4


def test_a_verdict_and_a_report_come_out(engine: Engine, revision: Revision) -> None:
    """Scores of the classes without thinking, and an answer within its schema behind the reasoning."""
    scores = engine.score(_prompt(revision), ["good", "pit"]).result(60)
    assert len(scores.log_probabilities) == 2
    sampling = Sampling(max_tokens=40, seed=1, reasoning_max_tokens=8)
    first, second = (
        engine.generate(_prompt(revision), sampling, thinking=True, schema=SCHEMA).result(60) for _ in "ab"
    )
    assert json.loads(first.content) in ("good", "pit")
    assert (first.reasoning, first.content) == (second.reasoning, second.content)


def test_a_tensor_too_few_is_named_by_its_released_name(
    directory: Path, revision: Revision, tmp_path: Path
) -> None:
    """Strict in every layout."""
    copy = Path(shutil.copytree(directory, tmp_path / "copy"))
    config = read_json(copy / "config.json")
    text = config.get("text_config", config)
    text["vocab_size"] += 1
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=r"misshapen model\.embed_tokens\.weight"):
        load(copy, torch.float32, "cpu")
    expected = {"Paddle": "Paddle", "in-memory": "transformers in memory"}.get(revision.name, "released")
    assert StoredTensors(directory).layout == expected
