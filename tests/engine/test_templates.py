"""Chat templates as they come: where they stand, what they want to be told, and which are refused."""

import json
from pathlib import Path

import pytest

from engine import CheckpointInvalid
from engine.checkpoint.template import ChatTemplate
from engine.checkpoint.template_files import TemplateSource, find_template
from tests.engine.released import BARE_ENDING, NATIVE_ENDING, NEW_MARK, OLD_MARK, PT_ENDING, template

PARTS = ("Compare ", None, " with ", None)


def _template(text: str, *, thinks: bool = True) -> ChatTemplate:
    return ChatTemplate(TemplateSource(text, "chat_template.jinja"), {"eos_token": "</s>"}, thinks)


@pytest.mark.parametrize("form", ["image", "image_url"])
def test_images_are_named_as_the_template_wants_them(form: str) -> None:
    """Found out by rendering, since each refuses the other's form."""
    found = _template(template(form, OLD_MARK, PT_ENDING))
    assert found.image_form == form
    assert "Picture 1:<|IMAGE_START|>" in found.render(PARTS, None, thinking=False)


@pytest.mark.parametrize("form", ["input_image", "picture"])
def test_a_template_that_takes_no_known_form_is_refused(form: str) -> None:
    """The error names the template and says what it did with each form."""
    with pytest.raises(CheckpointInvalid, match=r"chat_template\.jinja takes an image neither") as caught:
        _template(template(form, OLD_MARK, PT_ENDING))
    assert "unknown part image_url" in caught.value.detail


def test_a_template_that_drops_the_text_is_refused() -> None:
    """Scores on a picture without the question would be worthless."""
    with pytest.raises(CheckpointInvalid, match="takes an image neither"):
        _template(NEW_MARK + PT_ENDING)


MIXED = f"' -}}}}{{{{- '{OLD_MARK}' if pictures.count == 1 else '{NEW_MARK}' -}}}}{{{{- '"


@pytest.mark.parametrize("mark", [OLD_MARK, NEW_MARK, MIXED], ids=["old", "new", "mixed"])
def test_both_spellings_of_an_images_mark_are_one(mark: str) -> None:
    """In any mixture, and in their order."""
    rendered = _template(template("image", mark, PT_ENDING)).render(PARTS, None, thinking=False)
    assert rendered.count("<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>") == 2
    assert OLD_MARK not in rendered


OPEN_ALWAYS = "{{- 'Assistant: <think>' -}}"
CLOSED_ALWAYS = "{{- 'Assistant: <think></think>' -}}"


def test_a_block_that_stays_open_is_refused_before_classes_are_scored() -> None:
    """The scores would be those of the first word of a thought."""
    always = _template(template("image", NEW_MARK, OPEN_ALWAYS))
    assert always.render(PARTS, None, thinking=True).endswith("<think>")
    with pytest.raises(CheckpointInvalid, match=r"chat_template\.jinja leaves the thinking block open"):
        always.render(PARTS, None, thinking=False)


def test_a_block_that_stays_closed_is_refused_for_reports() -> None:
    """What is written behind it would be taken for reasoning that never ends."""
    never = _template(template("image", NEW_MARK, CLOSED_ALWAYS))
    with pytest.raises(CheckpointInvalid, match="closes the thinking block"):
        never.render(PARTS, None, thinking=True)


def test_a_block_is_written_only_for_a_model_that_thinks() -> None:
    """Where the template says nothing of thinking, a thinking model would open the block itself."""
    text = template("image", NEW_MARK, BARE_ENDING)
    thinking, plain = (
        _template(text, thinks=thinks).render(PARTS, None, thinking=False) for thinks in (True, False)
    )
    assert plain.endswith("\nAssistant:")
    assert thinking == plain + "\n<think>\n\n</think>\n\n"


def test_what_templates_of_others_use_is_there() -> None:
    """Loop controls, the date, and JSON without escapes for HTML."""
    loop = "{% for word in ['a', 'ü<'] %}{% if loop.first %}{% continue %}{% endif %}{{ word | tojson }}"
    text = loop + "{% endfor %}"
    rendered = _template(
        text + "{{ strftime_now('%Y') }}" + template("image", NEW_MARK, NATIVE_ENDING)
    ).render(PARTS, None, thinking=False)
    assert rendered.startswith('"ü<"2')


HELD = {
    "text": "the template",
    "list": [{"name": "tool_use", "template": "other"}, {"name": "default", "template": "the template"}],
    "table": {"default": "the template", "tool_use": "other"},
    "list of one": [{"name": "chat", "template": "the template"}],
}


@pytest.mark.parametrize("name", ["chat_template.json", "processor_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("form", list(HELD))
def test_a_template_is_found_where_it_stands(tmp_path: Path, name: str, form: str) -> None:
    """In each of the files that have held it, alone or among others."""
    (tmp_path / name).write_text(json.dumps({"chat_template": HELD[form]}), encoding="utf-8")
    assert find_template(tmp_path) == TemplateSource("the template", name)


def test_the_template_of_the_processor_goes_before_the_tokenizers(tmp_path: Path) -> None:
    """As in transformers."""
    for name in ("tokenizer_config.json", "processor_config.json", "chat_template.json"):
        (tmp_path / name).write_text(json.dumps({"chat_template": name}), encoding="utf-8")
        assert find_template(tmp_path).file == name
    (tmp_path / "chat_template.jinja").write_text("file", encoding="utf-8")
    assert find_template(tmp_path).file == "chat_template.jinja"


@pytest.mark.parametrize(
    "held", [3, ["text"], [{"name": "a", "template": "b"}, {"name": "c", "template": "d"}]]
)
def test_a_template_that_cannot_be_chosen_is_refused(tmp_path: Path, held: object) -> None:
    """With the file it stands in."""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": held}), encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=r"tokenizer_config\.json: chat_template"):
        find_template(tmp_path)
