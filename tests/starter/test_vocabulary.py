"""The small vocabulary spells everything, and the product's words in few tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined
from tokenizers import Tokenizer

from starter.pictures.chat import CHAT_TEMPLATE
from starter.pictures.targets import diagnose_text, inspect_text, reasoning, report_json
from starter.pictures.vocabulary import (
    KINDS_OF_PART,
    SPECIAL_TOKENS,
    VOCABULARY_SIZE,
    build_tokenizer,
    described_samples,
    train_tokenizer,
)

TOKENIZER = train_tokenizer()


def ids(text: str) -> list[int]:
    """Token ids without anything added."""
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def pieces(text: str) -> list[str]:
    """Tokens as the vocabulary spells them."""
    return TOKENIZER.encode(text, add_special_tokens=False).tokens


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    """Bytes stand in for what has no token. The mark that stands for a space cannot be told from one."""
    assert TOKENIZER.decode(ids(text), skip_special_tokens=False) == text.replace("▁", " ")


@given(st.text(alphabet="0123456789 .,", min_size=1))
def test_every_digit_is_a_token_of_its_own(text: str) -> None:
    """Numbers are read digit by digit."""
    splitter = TOKENIZER.pre_tokenizer
    assert splitter is not None
    assert [piece for piece, _ in splitter.pre_tokenize_str("2024")] == ["2", "0", "2", "4"]
    digits = [piece for piece in pieces(text) if any(mark.isdigit() for mark in piece)]
    assert digits == [mark for mark in text if mark.isdigit()]


def test_special_tokens_have_their_ids_and_are_never_split() -> None:
    """ERNIE's names, in their order from 0."""
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert ids("".join(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    assert TOKENIZER.get_vocab_size() == VOCABULARY_SIZE


def test_a_byte_written_out_is_text_and_not_a_byte() -> None:
    """`<0x41>` in a recipe is six characters."""
    assert TOKENIZER.decode(ids("<0x41>"), skip_special_tokens=False) == "<0x41>"


def test_line_ends_and_json_marks_do_not_merge_with_words() -> None:
    """The grammar of a report and its words stay apart."""
    for sample in described_samples():
        for piece in pieces("\n" + report_json(sample) + "\n\n"):
            letters = any(mark.isalnum() for mark in piece)
            assert not (letters and set(piece) & set('{}[]":,\n'))
    assert pieces("a\n\nb").count("\n") == 2


def test_a_wording_is_spelled_alike_wherever_it_stands_first() -> None:
    """A choice scored after the prompt has the tokens it was trained with."""
    for _, classes in KINDS_OF_PART:
        for wording in classes:
            assert ids("</think>\n\n" + wording) == ids("</think>\n\n") + ids(wording)


def test_answers_are_short() -> None:
    """A report within 130 tokens, reasoning within 50, a prompt within 40."""
    assert max(len(ids(report_json(sample))) for sample in described_samples()) <= 130
    assert max(len(ids(reasoning(sample))) for sample in described_samples()) <= 50
    for part, classes in KINDS_OF_PART:
        assert len(ids(inspect_text(part, classes))) <= 40
        assert len(ids(diagnose_text(part, classes))) <= 40


def test_training_it_again_gives_the_same_vocabulary() -> None:
    """A checkpoint and its tokenizer can be made again."""
    assert train_tokenizer().to_str() == TOKENIZER.to_str()


def test_transformers_reads_the_files_and_agrees(tmp_path: Path) -> None:
    """The field's own loader gives the same ids and the same rendered chat."""
    from transformers import AutoTokenizer

    build_tokenizer(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = 'Inspect the gear.\n{"defect":"pit"} 12 mm ü'
    assert theirs(text, add_special_tokens=False)["input_ids"] == ids(text)
    parts = [{"type": "text", "text": "Inspect."}, {"type": "image"}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    ours = render(messages=messages, add_generation_prompt=True)
    assert theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == ours
    assert (theirs.eos_token, theirs.pad_token, theirs.mask_token) == ("</s>", "<unk>", "<mask:1>")


def render(**context: object) -> str:
    """The template, rendered as jinja2 does."""
    return (
        Environment(undefined=StrictUndefined, autoescape=False).from_string(CHAT_TEMPLATE).render(**context)
    )


IMAGE = "<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>"


@pytest.mark.parametrize(
    ("context", "ending"),
    [
        ({"enable_thinking": True}, ""),
        ({"enable_thinking": False}, "\n\n</think>\n\n"),
        ({}, "\n\n</think>\n\n"),
    ],
)
def test_the_thinking_switch_opens_or_closes_the_block(context: dict[str, bool], ending: str) -> None:
    """Undefined is off."""
    rendered = render(messages=[{"role": "user", "content": "Hello"}], **context)
    assert rendered == f"<|begin_of_sentence|>User: Hello\nAssistant: <think>{ending}"


def test_pictures_are_numbered_over_the_whole_conversation() -> None:
    """Parts keep their order; a finished answer ends its turn; the system text comes first."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Look."}]},
        {"role": "assistant", "content": "good"},
        {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "image"}]},
    ]
    assert render(messages=messages, enable_thinking=True) == (
        f"<|begin_of_sentence|>Be brief.\nUser: Picture 1:{IMAGE}Look.\nAssistant: good<|end_of_sentence|>"
        f"User: And Picture 2:{IMAGE}\nAssistant: <think>"
    )


def test_the_files_name_every_role(tmp_path: Path) -> None:
    """tokenizer.json, its settings with the template, and the map of special tokens."""
    build_tokenizer(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    roles = json.loads((tmp_path / "special_tokens_map.json").read_text())
    assert settings["chat_template"] == CHAT_TEMPLATE
    assert (roles["bos_token"], roles["eos_token"], roles["cls_token"]) == (
        "<s>",
        "</s>",
        "<|begin_of_sentence|>",
    )
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).to_str() == TOKENIZER.to_str()
