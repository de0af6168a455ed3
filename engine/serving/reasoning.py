"""Writes one output token by token: the reasoning, the end of its block, then the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import EngineError
from engine.serving.grammar import Grammar
from engine.serving.requests import FinishReason, OnText, OutputPart, Sampling
from engine.serving.sampler import Sampler
from engine.serving.text import TextDecoder


@dataclass(frozen=True)
class SpecialTokens:
    """Ids with a meaning: what ends an answer, what ends the reasoning, and what is never written.

    `line_end` goes before a `closing` that the model did not write itself. `closing` is the end of a thinking
    block as the template writes it: `</think>` and the lines behind it. `never` are an image's own tokens,
    which only a prompt may hold, and ids without a token.
    """

    stops: frozenset[int]
    line_end: tuple[int, ...]
    closing: tuple[int, ...]
    never: tuple[int, ...]


class Writer:
    """Chooses an output's tokens from the logits, and collects what they say.

    Inside the thinking block anything goes, until the model closes it, tries to end its answer there, or has
    spent its tokens; then the block is closed in the template's form and the answer follows, within the
    grammar if any.
    """

    def __init__(
        self,
        decoder: Callable[[], TextDecoder],
        special_tokens: SpecialTokens,
        sampling: Sampling,
        grammar: Grammar | None,
        thinking: bool,
        on_text: OnText | None,
        prompt_ids: Sequence[int] = (),
    ) -> None:
        """`prompt_ids` are what a penalty for repetition counts beside what is written."""
        self.reasoning = WrittenPart("reasoning", decoder(), on_text)
        self.content = WrittenPart("content", decoder(), on_text)
        self.tokens = 0
        self.finish_reason: FinishReason | None = None
        self._special_tokens = special_tokens
        self._never = torch.tensor(special_tokens.never, dtype=torch.long)
        self._sampling = sampling
        self._sampler = Sampler(sampling, prompt_ids)
        self._grammar = grammar
        self._thinking = thinking

    def choose(self, logits: Tensor) -> Sequence[int]:
        """The ids that follow from logits `[V]`: one, or the closing of the block.

        At the end it sets `finish_reason`.
        """
        allowed = logits.index_fill(0, self._never.to(logits.device), -torch.inf)
        chosen = self._reason(allowed) if self._thinking else self._answer(allowed)
        chosen = chosen[: self._sampling.max_tokens - self.tokens]
        self.tokens += len(chosen)
        if self.finish_reason is None and self.tokens >= self._sampling.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            self.reasoning.finish()
            self.content.finish()
        return chosen

    def _reason(self, logits: Tensor) -> Sequence[int]:
        if len(self.reasoning.token_ids) < self._sampling.reasoning_budget:
            token = self._sampler.choose(logits)
            if token == self._special_tokens.closing[0]:
                return self._close(self._special_tokens.closing)
            if token not in self._special_tokens.stops:
                self.reasoning.add(token)
                return (token,)
        return self._close((*self._special_tokens.line_end, *self._special_tokens.closing))

    def _close(self, token_ids: Sequence[int]) -> Sequence[int]:
        self.reasoning.finish()
        self._thinking = False
        return token_ids

    def _answer(self, logits: Tensor) -> Sequence[int]:
        token = self._sampler.choose(self._grammar.mask(logits) if self._grammar else logits)
        if token in self._special_tokens.stops:
            self.finish_reason = "stop"
            return ()
        self.content.add(token)
        if self._grammar:
            self._grammar.accept(token)
            if self._grammar.is_complete:
                self.finish_reason = "stop"
        return (token,)


class WrittenPart:
    """The tokens of the reasoning or of the content, and their text as it becomes certain."""

    def __init__(self, part: OutputPart, decoder: TextDecoder, on_text: OnText | None) -> None:
        self.token_ids: list[int] = []
        self.text = ""
        self._part = part
        self._decoder = decoder
        self._on_text = on_text

    def add(self, token_id: int) -> None:
        """Take one more token."""
        self.token_ids.append(token_id)
        self._say(self._decoder.push(token_id))

    def finish(self) -> None:
        """Say what was held back: the bytes of a character that never became whole."""
        self._say(self._decoder.finish())

    def _say(self, text: str) -> None:
        self.text += text
        if text and self._on_text:
            try:
                self._on_text(self._part, text)
            except Exception as fault:  # the caller's code may raise anything, and must not stop the engine
                raise EngineError(f"on_text raised {fault!r}", "hint the callback") from fault
