"""An engine with the real one's face whose answers are painted into the frame.

The first pixel says everything: red is the index of the class it is, green what goes wrong, so that a test
decides per part, and a worker in another process behaves the same.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine import (
    Capacity,
    Completion,
    DeadlinePassed,
    EngineClosed,
    EngineInfo,
    EngineStats,
    ImageInvalid,
    OutOfMemory,
    Priority,
    PriorityStats,
    Prompt,
    Sampling,
    Scores,
    Timings,
)

SURE, UNSURE = -0.01, -0.7
AT_ONCE = 8
"""The capacity of this engine: requests of each priority."""
Answer = TypeVar("Answer")
TIMINGS = Timings(prepare=0.0, wait=0.0, prefill=0.0, decode=0.0)


class Trait(IntEnum):
    """What a frame does to the engine."""

    HARMLESS = 0
    INVALID = 1
    OUT_OF_MEMORY = 2
    KILLER = 3
    NOT_A_NUMBER = 4
    ENDLESS_REPORT = 5
    UNSURE = 6
    BUG = 7
    ENGINE_FAILURE = 8
    HANGING = 9


def painted(index: int, trait: Trait = Trait.HARMLESS, side: int = 64) -> NDArray[np.uint8]:
    """A frame of the class with this index; noise keeps it clear of every quality gate."""
    pixels = np.random.default_rng(index).integers(60, 200, (side, side, 3), dtype=np.uint8)
    pixels[0, 0] = (index, trait, 0)
    return pixels


class FakeEngine:
    """Scores and writes in threads of its own.

    `gate`, while it is cleared, holds reports back; `writing` is set when the first one has begun.
    """

    def __init__(self, digest: str = "d" * 64) -> None:
        self.info = EngineInfo(
            model_name="fake",
            checkpoint_digest=digest,
            device="cpu",
            dtype="float32",
            parameters=0,
            max_model_len=4096,
        )
        self.gate = threading.Event()
        self.gate.set()
        self.writing = threading.Event()
        self.scored = 0
        self.before_score: Callable[[], object] = lambda: None
        self.prompts: list[Prompt] = []
        self._closed = threading.Event()
        self.failure: str | None = None
        self.hanging_since: float | None = None
        self._unfinished: dict[Priority, set[Future[Any]]] = {priority: set() for priority in Priority}
        self._scorer = ThreadPoolExecutor(AT_ONCE)
        self._writer = ThreadPoolExecutor(AT_ONCE)

    def capacity(self) -> Capacity:
        """See Engine.capacity."""
        return Capacity(
            AT_ONCE - self.unfinished(Priority.VERDICT), AT_ONCE - self.unfinished(Priority.REPORT)
        )

    def unfinished(self, priority: Priority) -> int:
        """Requests of a priority that still owe an answer."""
        return sum(not future.done() for future in self._unfinished[priority])

    def stats(self) -> EngineStats:
        """See Engine.stats."""
        since = self.hanging_since
        return EngineStats(
            verdicts=PriorityStats(running=self.unfinished(Priority.VERDICT), finished=self.scored),
            reports=PriorityStats(running=self.unfinished(Priority.REPORT)),
            step_age=0.0 if since is None else time.monotonic() - since,
            failure=self.failure,
        )

    def score(
        self, prompt: Prompt, choices: Sequence[str], priority: Priority, deadline: float | None
    ) -> Future[Scores]:
        """See Engine.score."""
        assert priority is Priority.VERDICT
        assert deadline is not None
        return self._noted(prompt, priority, self._scorer.submit(self._score, *_paint(prompt), len(choices)))

    def _noted(self, prompt: Prompt, priority: Priority, future: Future[Answer]) -> Future[Answer]:
        self.prompts.append(prompt)
        self._unfinished[priority].add(future)
        return future

    def _score(self, index: int, trait: Trait, choices: int) -> Scores:
        self.before_score()
        self.scored += 1
        if trait is Trait.KILLER:
            os.kill(os.getpid(), signal.SIGKILL)
        if trait is Trait.HANGING:
            self.hanging_since = time.monotonic()
            self._closed.wait()
        if trait is Trait.INVALID:
            raise ImageInvalid("the image is too thin", "send a wider one")
        if trait is Trait.ENGINE_FAILURE:
            raise EngineClosed("the engine failed: device lost", "restart the process")
        if trait is Trait.OUT_OF_MEMORY:
            raise OutOfMemory("no room for this image", "use a smaller batch")
        if trait is Trait.BUG:
            raise ZeroDivisionError
        values = [-8.0] * choices
        values[index] = UNSURE if trait is Trait.UNSURE else SURE
        if trait is Trait.UNSURE:
            values[0] = UNSURE
        if trait is Trait.NOT_A_NUMBER:
            values[index] = float("nan")
        return Scores(log_probabilities=tuple(values), prompt_tokens=9, timings=TIMINGS)

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        thinking: bool,
        schema: dict[str, Any] | None,
        priority: Priority,
        deadline: float | None,
    ) -> Future[Completion]:
        """See Engine.generate."""
        assert thinking
        assert priority is Priority.REPORT
        assert schema is not None
        assert schema["title"] == "Diagnosis"
        assert sampling.reasoning_budget < sampling.max_tokens
        assert deadline is None
        return self._noted(prompt, priority, self._writer.submit(self._write, *_paint(prompt)))

    def _write(self, index: int, trait: Trait) -> Completion:
        self.writing.set()
        self.gate.wait()
        if trait is Trait.KILLER:
            os.kill(os.getpid(), signal.SIGKILL)
        content = json.dumps(DIAGNOSIS | {"defect": f"class {index}"})
        ended = trait is not Trait.ENDLESS_REPORT
        return Completion(
            timings=TIMINGS,
            reasoning="I see something.",
            content=content if ended else content[:30],
            prompt_tokens=9,
            completion_tokens=40,
            finish_reason="stop" if ended else "length",
        )

    def close(self, drain: bool = True) -> None:
        """See Engine.close."""
        self.gate.set()
        self._closed.set()
        self._scorer.shutdown(wait=drain, cancel_futures=True)
        self._writer.shutdown(wait=drain, cancel_futures=True)


DIAGNOSIS = {
    "defect": "scratch",
    "where": "upper left",
    "severity": "minor",
    "evidence": ["a thin bright line"],
    "probable_causes": [{"cause": "handling", "likelihood": "medium"}],
    "containment": "sort the lot",
    "corrective_actions": ["pad the tray"],
}


def late(*_: object) -> Scores:
    """Raises as an engine does whose queue was longer than the deadline."""
    raise DeadlinePassed("the deadline passed in the engine's queue", "add a card")


def _paint(prompt: Prompt) -> tuple[int, Trait]:
    image = prompt.parts[-1]
    assert not isinstance(image, str)
    red, green, _ = image.pixels[0, 0]
    return int(red), Trait(int(green))
