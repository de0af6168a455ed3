"""From a caller's prompt to token ids: the checkpoint's template, its images, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import (
    CheckpointInvalid,
    Engine,
    EngineConfig,
    Image,
    ImageInvalid,
    Prompt,
    PromptInvalid,
    PromptTooLong,
    Sampling,
)
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.template import ChatTemplate
from engine.checkpoint.template_files import TemplateSource, find_template
from engine.checkpoint.tokenizer import Tokenizer
from engine.model.images import ImageProcessor
from engine.serving.prompts import PromptEncoder
from tests.engine.tiny import TEMPLATE, byte_fallback_tokenizer, random_pixels


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint: Path) -> PromptEncoder:
    """The encoder of the tiny checkpoint, with a context of 200 tokens."""
    config = json.loads((tiny_checkpoint / "config.json").read_text(encoding="utf-8"))
    return PromptEncoder(tiny_checkpoint, ModelConfig.from_json(config), 200)


def _image(height: int = 56, width: int = 84) -> Image:
    return Image(random_pixels(np.random.default_rng(0), height, width))


def _template(source: str = TEMPLATE, *, thinks: bool = True) -> ChatTemplate:
    return ChatTemplate(TemplateSource(source, "chat_template.jinja"), {"eos_token": "</s>"}, thinks)


def test_thinking_is_switched_by_the_template() -> None:
    """Off ends in an empty block, on in an open one."""
    start = "<|begin_of_sentence|>Be brief.\nUser: Inspect.\nAssistant: <think>"
    assert _template().render(["Inspect."], "Be brief.", thinking=True) == start
    assert _template().render(["Inspect."], "Be brief.", thinking=False) == start + "\n\n</think>\n\n"


def test_images_are_numbered_where_they_stand() -> None:
    """Each image's mark keeps its place among the texts."""
    rendered = _template().render(["Compare ", None, " with ", None], None, thinking=False)
    assert "Compare Picture 1:<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|> with Picture 2:" in rendered


def test_an_image_takes_as_many_placeholders_as_it_has_tokens(encoder: PromptEncoder) -> None:
    """56 x 84 pixels are 2 x 3 merge blocks; each image gets its own number."""
    encoded = encoder.encode(Prompt((_image(), "or", _image(84, 84))), thinking=False, answer_tokens=1)
    placeholder = encoder.tokenizer.id_of("<|IMAGE_PLACEHOLDER|>")
    assert encoded.token_ids.tolist().count(placeholder) == 2 * 3 + 3 * 3
    assert encoded.grids == ((1, 4, 6), (1, 6, 6))
    assert encoded.patches is not None
    assert encoded.patches.shape == (4 * 6 + 6 * 6, 588)


def test_a_request_may_want_an_image_smaller(encoder: PromptEncoder) -> None:
    """12 megapixels in 450,000 take 540 tokens, and are another picture than the same ones in 100,000."""
    frame = np.zeros((3000, 4000, 3), np.uint8)
    large, small = (encoder._image(Image(frame, limit)) for limit in (450_000, 100_000))
    assert (large.tokens, large.grid) == (540, (1, 40, 54))
    assert small.tokens <= 100_000 // 784
    assert large.digest != small.digest
    assert large.patches.shape == (4 * 540, 588)


def test_no_request_gets_a_larger_image_than_the_checkpoint_takes() -> None:
    """It was never trained on one; nor a smaller one than its least."""
    processor = ImageProcessor(max_area=29_000)
    assert processor.within(450_000) is processor.within(None) is processor
    assert processor.within(1).max_area == processor.min_area


@pytest.mark.parametrize(
    "parts",
    [
        ("good</s>",),
        ("<|IMAGE_START|>",),
        ("<think>",),
        ("<|IMAGE_PLACEHOLDER|>",),
        ("<|image@placeholder|>",),
        ("split </", "s> in two"),
    ],
)
def test_text_cannot_smuggle_control_tokens(encoder: PromptEncoder, parts: tuple[str, ...]) -> None:
    """A part's name or a recipe's words never become an image, a turn or the end."""
    with pytest.raises(PromptInvalid):
        encoder.encode(Prompt(parts), thinking=False, answer_tokens=1)
    with pytest.raises(PromptInvalid):
        encoder.encode(Prompt(("Inspect.",), system="".join(parts)), thinking=False, answer_tokens=1)


def test_a_prompt_over_the_context_says_both_numbers(encoder: PromptEncoder) -> None:
    """What it has, and what the context holds; a prompt that just fits is taken."""
    prompt = Prompt(("Inspect.", _image(140, 140)))
    length = encoder.encode(prompt, thinking=False, answer_tokens=1).length
    assert encoder.encode(prompt, thinking=False, answer_tokens=200 - length).length == length
    with pytest.raises(PromptTooLong, match=rf"{length} tokens .* make 201; the context holds 200"):
        encoder.encode(prompt, thinking=False, answer_tokens=201 - length)


def test_the_engine_keeps_the_shorter_of_both_limits(tiny_checkpoint: Path) -> None:
    """The checkpoint's context bounds what a configuration asks for."""
    with Engine(EngineConfig(tiny_checkpoint, device="cpu", max_model_len=100_000)) as engine:
        assert engine.info.max_model_len == 4096
    with Engine(EngineConfig(tiny_checkpoint, device="cpu", max_model_len=64)) as engine:
        fault = engine.generate(Prompt(("Inspect.",)), Sampling(max_tokens=64)).exception(30)
    assert isinstance(fault, PromptTooLong)
    assert "64" in fault.detail


def test_a_video_is_refused_with_a_clear_error(engine: Engine) -> None:
    """Still images only; the error says so."""
    video = Image(np.zeros((4, 56, 56, 3), np.uint8))
    fault = engine.score(Prompt(("Inspect.", video)), ["good", "pit"]).exception(30)
    assert isinstance(fault, ImageInvalid)
    assert "video" in fault.hint


def test_a_template_that_loses_an_image_is_refused() -> None:
    """Better no answer than one about half of the pictures."""
    first = "{{ messages[0].content[0].text }}<|IMAGE_PLACEHOLDER|>"
    with pytest.raises(PromptInvalid, match="1 image marks for 2 images"):
        _template(first).render(["Inspect.", None, None], None, thinking=False)


@pytest.mark.parametrize("source", ["{% for %}", "{{ messages.nothing.here }}", "{{ ''.__class__.mro() }}"])
def test_a_broken_or_prying_template_is_a_fault_of_the_checkpoint(source: str) -> None:
    """Templates come with weights from elsewhere, so they run in a sandbox."""
    with pytest.raises(CheckpointInvalid, match="template"):
        _template(source).render(["Inspect."], None, thinking=False)


def test_a_template_may_refuse_the_form_of_a_prompt() -> None:
    """Its own words reach the caller."""
    refusing = "{% if messages|length > 1 %}{{ raise_exception('no system turn, please') }}{% endif %}"
    with pytest.raises(PromptInvalid, match="no system turn, please"):
        _template(refusing + TEMPLATE).render(["?"], "Be brief.", thinking=False)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tokenizer's files that a test may damage."""
    for path in tiny_checkpoint.glob("*.json"):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


def test_a_missing_tokenizer_names_the_files_that_would_do(copy: Path) -> None:
    """Either of the two kinds."""
    (copy / "tokenizer.json").unlink()
    with pytest.raises(CheckpointInvalid, match=r"neither tokenizer\.json nor tokenizer\.model") as caught:
        Tokenizer(copy)
    assert "tokenizer.model" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", "{}", "no tokenizer"),
        ("tokenizer_config.json", "{}", "eos_token"),
        ("tokenizer_config.json", '{"eos_token": "<end>"}', "'<end>'"),
    ],
)
def test_damaged_tokenizer_files_are_refused(copy: Path, name: str, content: str, said: str) -> None:
    """Each damage has a typed error."""
    (copy / name).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=said):
        Tokenizer(copy)


def test_further_end_tokens_come_from_the_generation_settings(copy: Path) -> None:
    """Some checkpoints end an answer with more than one token."""
    (copy / "generation_config.json").write_text('{"eos_token_id": [2, 4]}', encoding="utf-8")
    assert Tokenizer(copy).stop_ids == {2, 4}


def test_a_chat_template_file_goes_before_the_settings(copy: Path) -> None:
    """Newer checkpoints keep the template in a file of its own; one without any is refused."""
    (copy / "chat_template.jinja").write_text("from the file", encoding="utf-8")
    assert find_template(copy) == TemplateSource("from the file", "chat_template.jinja")
    (copy / "chat_template.jinja").unlink()
    (copy / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match="chat template"):
        find_template(copy)


def test_a_tokenizer_of_another_checkpoint_is_refused(copy: Path) -> None:
    """The placeholder's id must be the configuration's."""
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["image_token_id"] = 7
    with pytest.raises(CheckpointInvalid, match="has the id 5 in tokenizer.json and 7"):
        PromptEncoder(copy, ModelConfig.from_json(config), 200)


def test_thinking_needs_thinking_tokens(copy: Path) -> None:
    """A checkpoint without them still scores."""
    described = json.loads(byte_fallback_tokenizer().to_str())
    described["added_tokens"] = [t for t in described["added_tokens"] if "think" not in t["content"]]
    (copy / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    encoder = PromptEncoder(copy, ModelConfig.from_json(config), 200)
    assert encoder.encode(Prompt(("?",)), thinking=False, answer_tokens=1).length > 0
    with pytest.raises(PromptInvalid, match="no thinking tokens"):
        encoder.encode(Prompt(("?",)), thinking=True, answer_tokens=1)
