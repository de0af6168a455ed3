"""Requests on their way through the loop, and what of them is computed."""

import time
from abc import ABC, abstractmethod
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from engine.errors import DeadlinePassed
from engine.model.cache import BLOCK_TOKENS
from engine.serving.choices import ChoiceTrie
from engine.serving.forward import Chunk
from engine.serving.prompts import EncodedPrompt, PromptImage
from engine.serving.reasoning import Writer
from engine.serving.requests import Completion, Priority, Scores, Timings

Result = TypeVar("Result")


@dataclass(eq=False)
class Job(ABC, Generic[Result]):
    """A request, its future, and when things happened to it; moments are those of `time.monotonic()`.

    `number` is its place among all requests. Of its tokens the first `computed` have their keys and values in
    `blocks`, whose contents `chain` names; `features` are those of its images that its prompt still needs. It
    was `preempted_at` last when it had so many tokens, 0 if never.
    """

    prompt: EncodedPrompt
    priority: Priority
    deadline: float | None
    received: float
    number: int = 0
    future: Future[Result] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    prefilled: float | None = None
    blocks: list[int] = field(default_factory=list)
    computed: int = 0
    reused: int = 0
    preempted_at: int = 0
    features: dict[bytes, Tensor] = field(default_factory=dict)
    chain: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Its blocks are named as those of its prompt."""
        self.chain = self.prompt.chain

    @property
    @abstractmethod
    def length(self) -> int:
        """Tokens to compute before it can go on, those computed among them."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Tokens it may ever need in the cache."""

    @property
    @abstractmethod
    def tail(self) -> int:
        """The last tokens, which are computed in one chunk and whose logits it reads."""

    @property
    def keeps_blocks(self) -> bool:
        """Whether it was preempted and has written nothing since: it keeps its blocks until it has."""
        return self.length <= self.preempted_at

    @property
    def reserved(self) -> int:
        """Tokens it must have blocks for when it begins: a verdict never waits for any later."""
        return self.longest if self.priority is Priority.VERDICT else self.length

    @property
    def shareable(self) -> tuple[bytes, ...]:
        """What names the blocks that it may find computed: all but those of its tail."""
        return self.chain[: (self.length - self.tail) // BLOCK_TOKENS]

    @abstractmethod
    def tokens(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Ids `[t]` and positions `[3, t]` from `start` on."""

    @abstractmethod
    def conclude(self, logits: Tensor) -> Result | None:
        """Take finite logits `[tail, V]`; None where there is more to compute."""

    @property
    def tree(self) -> Tensor | None:
        """Which of its last tokens see one another, where that is not all before them."""
        return None

    def preempt(self) -> None:
        """Note that it has to give its blocks up."""
        self.preempted_at = self.length

    def images(self, tokens: int) -> list[PromptImage]:
        """The images among its next tokens."""
        end = self.computed + tokens
        spans = zip(self.prompt.images, self.prompt.starts, strict=True)
        return [image for image, start in spans if start < end and start + image.tokens > self.computed]

    def chunk(self, tokens: int) -> Chunk:
        """Its next tokens, ready to compute."""
        start, end = self.computed, self.computed + tokens
        token_ids, positions = self.tokens(start, end)
        is_last = end == self.length
        return Chunk(
            token_ids,
            positions,
            past=start,
            table=self.blocks,
            images=self._seen(start, end),
            tree=self.tree if is_last else None,
            wanted=self.tail if is_last else 1,
        )

    def timings(self) -> Timings:
        """Where the time went, up to now."""
        assert self.started is not None
        assert self.prefilled is not None
        return Timings(
            prepare=self.submitted - self.received,
            wait=self.started - self.submitted,
            prefill=self.prefilled - self.started,
            decode=time.monotonic() - self.prefilled,
        )

    def _seen(self, start: int, end: int) -> list[Tensor]:
        """The features of the placeholders among the tokens from `start` to `end`."""
        parts = []
        for image, first in zip(self.prompt.images, self.prompt.starts, strict=True):
            begin, stop = max(start, first), min(end, first + image.tokens)
            if begin < stop:
                parts.append(self.features[image.digest][begin - first : stop - first])
        return parts


AnyJob = Job[Any]


def check_deadline(deadline: float | None) -> None:
    """Raise DeadlinePassed where the moment `deadline` of `time.monotonic()` is over."""
    late = 0.0 if deadline is None else time.monotonic() - deadline
    if late > 0:
        raise DeadlinePassed(
            f"the deadline passed {late:.3f} s before work could begin",
            "allow more time, or send less to this engine",
        )


@dataclass(eq=False, kw_only=True)
class ScoreJob(Job[Scores]):
    """Asks for the log-probabilities of choices; their trie is computed with the end of the prompt."""

    trie: ChoiceTrie

    @property
    def length(self) -> int:
        """Prompt and trie."""
        return self.prompt.length + self.trie.nodes

    @property
    def longest(self) -> int:
        """As above."""
        return self.length

    @property
    def tail(self) -> int:
        """The prompt's last token, and the trie."""
        return 1 + self.trie.nodes

    @property
    def tree(self) -> Tensor:
        """Each node of the trie sees its ancestors."""
        return self.trie.tree

    def tokens(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The trie's first nodes all take the position behind the prompt."""
        prompt = self.prompt
        depths = (self.trie.depths + prompt.next_position).expand(3, -1)
        token_ids = torch.cat((prompt.token_ids, self.trie.token_ids))
        return token_ids[start:end], torch.cat((prompt.positions, depths), dim=1)[:, start:end]

    def conclude(self, logits: Tensor) -> Scores:
        """The scores."""
        return Scores(self.trie.log_probabilities(logits), self.prompt.length, self.timings())


@dataclass(eq=False, kw_only=True)
class WriteJob(Job[Completion]):
    """Asks for an output of up to `max_tokens`; `written` are those chosen so far."""

    writer: Writer
    max_tokens: int
    written: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Prompt and what is written."""
        return self.prompt.length + len(self.written)

    @property
    def longest(self) -> int:
        """With all that may be written."""
        return self.prompt.length + self.max_tokens

    @property
    def tail(self) -> int:
        """The newest token, which the next one follows."""
        return 1

    def tokens(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """What is written stands behind the prompt, on all three axes."""
        prompt, count = self.prompt, len(self.written)
        token_ids = torch.cat((prompt.token_ids, torch.tensor(self.written, dtype=torch.long)))
        behind = torch.arange(prompt.next_position, prompt.next_position + count).expand(3, -1)
        return token_ids[start:end], torch.cat((prompt.positions, behind), dim=1)[:, start:end]

    def preempt(self) -> None:
        """Its blocks are named as far as it has written."""
        super().preempt()
        self.chain = self.prompt.chain_with(self.written)

    def next_token(self) -> tuple[int, int]:
        """The first token that is not computed, and its position."""
        place = self.computed - self.prompt.length
        return self.written[place], self.prompt.next_position + place

    def conclude(self, logits: Tensor) -> Completion | None:
        """The output, once it is complete."""
        self.written.extend(self.writer.choose(logits[-1]))
        if self.writer.finish_reason is None:
            return None
        return Completion(
            reasoning=self.writer.reasoning.text.strip("\n"),
            content=self.writer.content.text,
            prompt_tokens=self.prompt.length,
            completion_tokens=self.writer.tokens,
            finish_reason=self.writer.finish_reason,
            timings=self.timings(),
        )
