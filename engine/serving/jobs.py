"""Requests on their way through the loop."""

import time
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from torch import Tensor

from engine.errors import DeadlinePassed
from engine.model.network import ErnieVL
from engine.serving.choices import ChoiceTrie
from engine.serving.forward import append, finite, prefill
from engine.serving.prompts import EncodedPrompt
from engine.serving.reasoning import Writer
from engine.serving.requests import Completion, Priority, Scores, Timings

Result = TypeVar("Result")


@dataclass(eq=False)
class Job(Generic[Result]):
    """A request, its future, and when things happened to it; moments are those of `time.monotonic()`.

    `number` is its place among the requests of its priority.
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

    def start(self) -> None:
        """Note the first work on it. Raises DeadlinePassed where it would come too late."""
        if self.started is None:
            check_deadline(self.deadline)
            self.started = time.monotonic()

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
    """Asks for the log-probabilities of choices."""

    trie: ChoiceTrie

    def conclude(self, logits: Tensor) -> Scores:
        """The scores from the logits `[1 + n, V]` of prompt and trie; raises ComputationFailed."""
        return Scores(self.trie.log_probabilities(finite(logits)), self.prompt.length, self.timings())


@dataclass(eq=False, kw_only=True)
class WriteJob(Job[Completion]):
    """Asks for an output of up to `max_tokens`."""

    writer: Writer
    max_tokens: int
    _steps: Generator[None, None, Completion] | None = None

    def step(self, network: ErnieVL) -> Completion | None:
        """Compute one step: the prompt, or one further token. None while there is more to write."""
        if self._steps is None:
            self._steps = self._write(network)
        try:
            next(self._steps)
        except StopIteration as end:
            completion: Completion = end.value
            return completion
        return None

    def _write(self, network: ErnieVL) -> Generator[None, None, Completion]:
        sequence = prefill(network, [self.prompt], [self.max_tokens])[0]
        self.prefilled = time.monotonic()
        while True:
            yield
            token_ids = self.writer.choose(finite(network.logits(sequence.last)))
            if self.writer.finish_reason is not None:
                break
            append(network, sequence, token_ids)
        return Completion(
            reasoning=self.writer.reasoning.text.strip("\n"),
            content=self.writer.content.text,
            prompt_tokens=self.prompt.length,
            completion_tokens=self.writer.tokens,
            finish_reason=self.writer.finish_reason,
            timings=self.timings(),
        )
