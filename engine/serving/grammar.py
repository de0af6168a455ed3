"""Keeps what is generated inside a JSON schema, token by token (llguidance)."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.checkpoint.tokenizer import Tokenizer
from engine.errors import PromptInvalid

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Schema = dict[str, Any]

BITS_A_WORD = 32


class Grammar:
    """Where in the schema one output stands: which tokens may follow, and whether it is complete."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher

    def mask(self, logits: Tensor) -> Tensor:
        """Logits `[V]` with every token that the schema forbids at minus infinity."""
        words = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.int32)
        bits = (words[:, None] >> torch.arange(BITS_A_WORD)) & 1
        allowed = bits.flatten()[: len(logits)].bool()
        return logits.masked_fill(~allowed.to(logits.device), -torch.inf)

    def accept(self, token_id: int) -> None:
        """Move on by a token that the mask allowed."""
        consumed = self._matcher.consume_token(token_id)
        assert consumed, self._matcher.get_error()

    @property
    def is_complete(self) -> bool:
        """True where nothing but the end can follow."""
        return bool(self._matcher.is_stopped())


def guide_of(tokenizer: Tokenizer, vocab_size: int) -> "LLTokenizer":
    """The vocabulary as llguidance sees it, as wide as the logits; ids without a token are never allowed."""
    from llguidance import LLTokenizer  # noqa: PLC0415 - a program that only loads networks needs none of it

    return LLTokenizer(tokenizer.to_json(), n_vocab=vocab_size, eos_token=tokenizer.eos_id)


class GrammarBook:
    """Compiles schemas for one vocabulary, and keeps the last ones."""

    def __init__(self, guide: "LLTokenizer") -> None:
        self._guide = guide
        self._compiled = lru_cache(maxsize=16)(self._compile)

    def grammar(self, schema: Schema) -> Grammar:
        """A grammar at its start. Raises PromptInvalid for a schema that cannot be followed."""
        return Grammar(self._compiled(json.dumps(schema)).deep_copy())

    def _compile(self, schema: str) -> "LLMatcher":
        from llguidance import LLMatcher  # noqa: PLC0415 - as above

        # Compact: spaces between the tokens of JSON cost tokens and say nothing.
        source = LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        )
        if error := LLMatcher.validate_grammar(source, self._guide):
            raise PromptInvalid(f"the schema cannot be followed: {error}", "simplify the JSON schema")
        return LLMatcher(self._guide, source)
