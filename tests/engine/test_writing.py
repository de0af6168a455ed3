"""What the engine writes: reasoning, answer, schema, stops, and text as it comes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine import Completion, Engine, EngineError, Prompt, PromptInvalid, Sampling
from engine.checkpoint.tokenizer import Tokenizer
from engine.serving.grammar import GrammarBook, guide_of
from engine.serving.reasoning import SpecialTokens, Writer
from engine.serving.requests import OutputPart
from engine.serving.sampler import Sampler
from engine.serving.text import TextDecoder
from schemas.report import Diagnosis
from starter.pictures.vocabulary import train_tokenizer
from tests.engine.tiny import (
    byte_fallback_tokenizer,
    byte_level_tokenizer,
    write_tokenizer,
)

SCHEMA = Diagnosis.model_json_schema()
TOKENIZERS = {
    "byte fallback": byte_fallback_tokenizer,
    "byte level": byte_level_tokenizer,
    "starter": train_tokenizer,
}


def shortened(schema: Any, longest: int) -> Any:  # noqa: ANN401 - JSON
    """The same schema with shorter texts, so that a random model comes to an end."""
    if isinstance(schema, list):
        return [shortened(entry, longest) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: shortened(value, longest) for key, value in schema.items()}
    return inner | ({"maxLength": longest} if "maxLength" in inner else {})


class Desk:
    """Writers on a vocabulary of its own, fed with random logits instead of a network's."""

    def __init__(self, directory: Path, kind: str) -> None:
        write_tokenizer(directory, TOKENIZERS[kind]())
        self.tokenizer = Tokenizer(directory)
        self.vocab_size = self.tokenizer.size + 16  # logits are often wider than the vocabulary
        self.guide = guide_of(self.tokenizer, self.vocab_size)
        self.book = GrammarBook(self.guide)
        closing = (self.tokenizer.id_of("</think>"), *self.tokenizer.encode("\n\n"))
        never = tuple(range(self.tokenizer.size, self.vocab_size))
        line_end = tuple(self.tokenizer.encode("\n"))
        self.special_tokens = SpecialTokens(self.tokenizer.stop_ids, line_end, closing, never)

    def write(self, seed: int, schema: dict[str, Any] | None, thinking: bool, sampling: Sampling) -> Writer:
        """Write until the end, the logits drawn from a normal distribution."""
        generator = torch.Generator().manual_seed(seed)
        grammar = self.book.grammar(schema) if schema else None
        writer = Writer(self.decoder, self.special_tokens, sampling, grammar, thinking, None)
        while writer.finish_reason is None:
            writer.choose(torch.randn(self.vocab_size, generator=generator) * 2)
        return writer

    def decoder(self) -> TextDecoder:
        """A decoder at its start."""
        return TextDecoder(self.guide, self.tokenizer.control)


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One desk for each kind of vocabulary."""
    return Desk(tmp_path_factory.mktemp("desk"), request.param)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_whatever_a_model_prefers_the_report_parses(desk: Desk, seed: int) -> None:
    """Random preferences, within the schema of a diagnosis: compact JSON that the schema accepts."""
    sampling = Sampling(max_tokens=4000, temperature=1.0, seed=seed)
    writer = desk.write(seed, shortened(SCHEMA, 12), thinking=False, sampling=sampling)
    assert writer.finish_reason == "stop"
    Diagnosis.model_validate_json(writer.content.text)
    written = json.loads(writer.content.text)
    assert list(written) == list(Diagnosis.model_fields)
    assert "\n" not in writer.content.text


def test_the_whole_schema_of_a_diagnosis_can_be_followed(desk: Desk) -> None:
    """With its full lengths, once; reasoning before it is free."""
    writer = desk.write(7, SCHEMA, thinking=True, sampling=Sampling(8000, 1.0, reasoning_max_tokens=30))
    assert writer.finish_reason == "stop"
    Diagnosis.model_validate_json(writer.content.text)
    assert writer.reasoning.text


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), budget=st.integers(0, 20))
def test_reasoning_never_exceeds_its_tokens(desk: Desk, seed: int, budget: int) -> None:
    """The block is closed by then, and what is written in all stays within max_tokens."""
    sampling = Sampling(max_tokens=30, temperature=1.0, seed=seed, reasoning_max_tokens=budget)
    writer = desk.write(seed, None, thinking=True, sampling=sampling)
    assert len(writer.reasoning.token_ids) <= budget
    assert writer.tokens <= 30
    assert writer.finish_reason in ("stop", "length")


def test_reasoning_gets_four_fifths_of_the_tokens_by_default() -> None:
    """As the released model's server does."""
    assert Sampling(max_tokens=100).reasoning_budget == 80
    assert Sampling(max_tokens=1).reasoning_budget == 0


@pytest.mark.parametrize("ending", ["</think>", "</s>"])
def test_reasoning_that_ends_early_is_followed_by_the_answer(desk: Desk, ending: str) -> None:
    """Whether the model closes its block or ends its text, the answer still comes, within the schema."""
    writer = Writer(
        desk.decoder,
        desk.special_tokens,
        Sampling(max_tokens=400),
        desk.book.grammar({"const": "done"}),
        thinking=True,
        on_text=None,
    )
    script = [*desk.tokenizer.encode("hm"), desk.tokenizer.id_of(ending)]
    for token in script:
        chosen = writer.choose(torch.eye(desk.vocab_size)[token])
    assert list(chosen)[-len(desk.special_tokens.closing) :] == list(desk.special_tokens.closing)
    while writer.finish_reason is None:
        writer.choose(torch.zeros(desk.vocab_size))
    assert (writer.reasoning.text, writer.content.text) == ("hm", '"done"')


@given(text=st.text(max_size=40))
def test_text_streams_whole_characters_only(desk: Desk, text: str) -> None:
    """However many tokens a character takes, its bytes are held back until it is whole."""
    assume(not any(token in text for token in desk.tokenizer.control.values()))
    decoder = desk.decoder()
    pieces = [decoder.push(token) for token in desk.tokenizer.encode(text)]
    assert decoder.finish() == ""
    assert "".join(pieces) == text


def test_a_character_that_never_becomes_whole_is_replaced(desk: Desk) -> None:
    """Cut off by max_tokens, say; earlier text stays as it was given out."""
    decoder = desk.decoder()
    said = "".join(decoder.push(token) for token in desk.tokenizer.encode("aß")[:-1])
    assert said + decoder.finish() == "a\ufffd"


def _write(engine: Engine, prompt: Prompt, sampling: Sampling, **options: Any) -> Completion:  # noqa: ANN401
    return engine.generate(prompt, sampling, **options).result(60)


def test_a_report_has_reasoning_and_an_answer_within_the_schema(engine: Engine, picture: Prompt) -> None:
    """The whole path, with a network: what streams is what is returned."""
    pieces: list[tuple[OutputPart, str]] = []
    properties = {"defect": {"enum": ["good", "pit"]}}
    schema = {"type": "object", "properties": properties, "required": ["defect"]}
    completion = _write(
        engine,
        picture,
        Sampling(max_tokens=60, temperature=1.0, seed=4, reasoning_max_tokens=10),
        thinking=True,
        schema=schema | {"additionalProperties": False},
        on_text=lambda part, text: pieces.append((part, text)),
    )
    assert completion.content in ('{"defect":"good"}', '{"defect":"pit"}')
    assert completion.finish_reason == "stop"
    assert completion.completion_tokens <= 60
    assert "".join(text for part, text in pieces if part == "content") == completion.content
    reasoning = "".join(text for part, text in pieces if part == "reasoning")
    assert reasoning.strip("\n") == completion.reasoning
    assert [part for part, _ in pieces] == sorted((part for part, _ in pieces), reverse=True)


def test_writing_stops_when_the_tokens_run_out(engine: Engine, picture: Prompt) -> None:
    """The finish reason tells a cut-off answer from a finished one."""
    completion = _write(engine, picture, Sampling(max_tokens=3))
    assert (completion.completion_tokens, completion.finish_reason) == (3, "length")
    assert completion.prompt_tokens > 0


def test_the_same_seed_writes_the_same_text(engine: Engine, picture: Prompt) -> None:
    """And another seed another one."""
    texts = [_write(engine, picture, Sampling(12, 1.0, seed=seed)).content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_callback_that_raises_fails_its_own_request(engine: Engine, picture: Prompt) -> None:
    """The engine goes on."""

    def on_text(part: OutputPart, text: str) -> None:
        raise ValueError(part, text)

    fault = engine.generate(picture, Sampling(max_tokens=9), on_text=on_text).exception(30)
    assert isinstance(fault, EngineError)
    assert isinstance(fault.__cause__, ValueError)
    assert _write(engine, picture, Sampling(max_tokens=1)).completion_tokens == 1


@given(top_p=st.floats(0.05, 1.0), seed=st.integers(0, 1000))
def test_only_the_nucleus_is_sampled(top_p: float, seed: int) -> None:
    """Chosen among the likeliest tokens whose probabilities reach top_p, and never a forbidden one."""
    logits = torch.randn(50, generator=torch.Generator().manual_seed(seed))
    logits[3] = -torch.inf
    probabilities = logits.softmax(-1).numpy()
    token = Sampler(Sampling(1, temperature=1.0, top_p=top_p, seed=seed)).choose(logits)
    likelier = probabilities[probabilities > probabilities[token]].sum()
    assert token != 3
    assert likelier < top_p + 1e-6


def test_samples_follow_the_probabilities() -> None:
    """A thousand draws at temperature 2 from logits whose probabilities are then 0.2, 0.3 and 0.5."""
    logits = 2 * torch.tensor([0.2, 0.3, 0.5]).log()
    sampler = Sampler(Sampling(1, temperature=2.0))
    shares = np.bincount([sampler.choose(logits) for _ in range(1000)]) / 1000
    np.testing.assert_allclose(shares, [0.2, 0.3, 0.5], atol=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"max_tokens": 9, "temperature": -0.1},
        {"max_tokens": 9, "top_p": 0.0},
        {"max_tokens": 9, "top_p": 1.1},
        {"max_tokens": 9, "reasoning_max_tokens": 9},
        {"max_tokens": 9, "reasoning_max_tokens": -1},
    ],
)
def test_sampling_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """At once, with the value."""
    with pytest.raises(PromptInvalid, match=str(options[list(options)[-1]])):
        Sampling(**options)


def test_a_schema_that_cannot_be_followed_is_refused(engine: Engine, picture: Prompt) -> None:
    """Before any work."""
    fault = engine.generate(picture, Sampling(9), schema={"type": "no such type"}).exception(30)
    assert isinstance(fault, PromptInvalid)
    assert "schema" in fault.detail


def test_an_answer_ends_at_the_models_end_token(desk: Desk) -> None:
    """A model that wants to say nothing says nothing."""
    writer = Writer(desk.decoder, desk.special_tokens, Sampling(9), None, thinking=False, on_text=None)
    assert writer.choose(torch.eye(desk.vocab_size)[desk.tokenizer.eos_id]) == ()
    assert (writer.finish_reason, writer.content.text, writer.tokens) == ("stop", "", 0)
