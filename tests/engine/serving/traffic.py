"""Mixed requests for an engine, and what each is answered when it is the only one."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from engine import (
    Completion,
    Engine,
    EngineConfig,
    Image,
    Priority,
    Prompt,
    Sampling,
    Scores,
)
from engine.checkpoint.tensors import MANIFEST
from tests.engine.tiny import random_pixels

RECIPE = "Inspect the part for a pit hole or a scratch, upper left. "
CLASSES = (("good", "scratch", "scratched", "pit"), ("good", "crack"))
SCHEMA = {"type": "object", "properties": {"defect": {"enum": ["pit", "crack"]}}, "required": ["defect"]}


def _prompts() -> tuple[Prompt, ...]:
    rng = np.random.default_rng(7)
    golden, *frames = [Image(random_pixels(rng, *size)) for size in ((84, 84), (84, 84), (60, 90), (84, 84))]
    shown = [Prompt((RECIPE, golden, "The part: ", frame)) for frame in frames]
    return (
        *shown,
        Prompt((RECIPE, frames[0])),
        Prompt(("Good?",)),
        Prompt((RECIPE * 2,), system="Be brief."),
    )


PROMPTS = _prompts()


@dataclass(frozen=True)
class Ask:
    """One request: a score of some classes, or a text of up to `tokens`."""

    prompt: int
    classes: int | None = None
    tokens: int = 8
    temperature: float = 0.0
    thinking: bool = False
    bound: bool = False
    priority: Priority = Priority.REPORT

    def of(self, engine: Engine, deadline: float | None = None) -> Future[Scores] | Future[Completion]:
        """Ask it."""
        prompt = PROMPTS[self.prompt]
        if self.classes is not None:
            return engine.score(prompt, CLASSES[self.classes], self.priority, deadline)
        sampling = Sampling(self.tokens, self.temperature, seed=self.prompt)
        schema = SCHEMA if self.bound else None
        return engine.generate(prompt, sampling, self.thinking, schema, self.priority, deadline)


class Alone:
    """An engine without a cache that is asked one thing at a time."""

    def __init__(self, checkpoint: Path) -> None:
        self._engine = Engine(EngineConfig(checkpoint, device="cpu", max_batch=1, prefix_caching=False))
        # Compressed layers round activations to 8 bits, which turns a last-bit difference into one step of
        # 1/127, now and then: that shows in choices that are very unlikely. In fp32 nothing of it is allowed.
        self._rtol = 1e-3 if (checkpoint / MANIFEST).exists() else 0.0
        self._answer = cache(lambda ask: ask.of(self._engine).result(60))

    def check(self, ask: Ask, found: Scores | Completion) -> None:
        """The same text, or log-probabilities within 1e-4."""
        wanted: Scores | Completion = self._answer(ask)
        assert found.prompt_tokens == wanted.prompt_tokens
        if isinstance(wanted, Completion):
            assert replace(found, timings=wanted.timings) == wanted
        else:
            assert isinstance(found, Scores)
            np.testing.assert_allclose(
                found.log_probabilities, wanted.log_probabilities, atol=1e-4, rtol=self._rtol
            )


class Stepped:
    """An engine that takes a step when it is told to, so that arrivals fall where a test wants them.

    After each step the accounts of the blocks are compared.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._permits = threading.Semaphore(0)
        self._taken = threading.Semaphore(0)
        loop = engine._loop
        step = loop._step

        def held() -> None:
            self._permits.acquire()
            step()
            loop._executor.blocks.check_integrity([job.blocks for job in loop._queues.jobs])
            self._taken.release()

        loop._step = held  # type: ignore[method-assign]

    def go(self, steps: int) -> None:
        """Take so many steps, or fewer where nothing is left to do."""
        for _ in range(steps):
            if not self.unfinished:
                return
            self._permits.release()
            while self.unfinished and not self._taken.acquire(timeout=0.05):
                assert self.engine.stats().failure is None

    def finish(self) -> None:
        """Take steps until nothing is left."""
        while self.unfinished:
            self.go(1)

    @property
    def unfinished(self) -> int:
        """Requests that owe an answer."""
        stats = self.engine.stats()
        return stats.verdicts.unfinished + stats.reports.unfinished
