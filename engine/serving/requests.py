"""What callers hand to the engine and what they get back."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.errors import ConfigInvalid, PromptInvalid

FinishReason = Literal["stop", "length"]
"""Whether the model ended its answer, or the tokens ran out."""

OutputPart = Literal["reasoning", "content"]
"""Which part of the output a streamed piece of text belongs to."""

OnText = Callable[[OutputPart, str], None]
"""Called on the engine's own thread with each new piece of text; it must return quickly."""

Progress = Callable[[int, int], None]
"""Told while loading how many weights of how many are there."""


@dataclass(frozen=True, eq=False)
class Image:
    """One still image: `pixels` `[H, W, 3]`, uint8, RGB.

    It is shown to the model with `max_pixels` pixels at most, and never more than the checkpoint says.
    """

    pixels: npt.NDArray[np.uint8]
    max_pixels: int | None = None


@dataclass(frozen=True)
class Prompt:
    """Texts and images of one question in their order, without the words of the chat template."""

    parts: tuple[str | Image, ...]
    system: str | None = None


class Priority(IntEnum):
    """Who goes first: at every step a waiting verdict precedes every report."""

    VERDICT = 0
    REPORT = 1


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens, and how many.

    A temperature of 0 is greedy. `top_p` keeps the likeliest tokens of that total probability (Holtzman et
    al. 2020). `repetition_penalty` above 1 makes what prompt and answer hold already less likely (Keskar et
    al. 2019). None is what the checkpoint recommends. The same seed gives the same text.
    `reasoning_max_tokens` closes the reasoning so that the answer gets written; None is 80 % of `max_tokens`.
    Raises PromptInvalid for values out of range.
    """

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int = 0
    reasoning_max_tokens: int | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no model could follow."""
        _require(self.max_tokens >= 1, f"max_tokens is {self.max_tokens}", "ask for at least one token")
        _require((self.temperature or 0) >= 0, f"temperature is {self.temperature}", "use 0 (greedy) or more")
        _require(
            self.top_p is None or 0 < self.top_p <= 1,
            f"top_p is {self.top_p}",
            "use a share above 0 and at most 1",
        )
        _require(
            self.repetition_penalty is None or self.repetition_penalty > 0,
            f"repetition_penalty is {self.repetition_penalty}",
            "use 1 (none) or a little more",
        )
        _require(
            0 <= self.reasoning_budget < self.max_tokens,
            f"reasoning_max_tokens is {self.reasoning_max_tokens} of max_tokens {self.max_tokens}",
            "leave tokens for the answer",
        )

    @property
    def reasoning_budget(self) -> int:
        """Tokens that may be spent inside the thinking block."""
        return self.max_tokens * 4 // 5 if self.reasoning_max_tokens is None else self.reasoning_max_tokens


def _require(fits: bool, detail: str, hint: str) -> None:
    if not fits:
        raise PromptInvalid(detail, hint)


@dataclass(frozen=True)
class Timings:
    """Seconds for preparing the input, waiting for the device, the prompt, and the further tokens."""

    prepare: float
    wait: float
    prefill: float
    decode: float


@dataclass(frozen=True)
class Scores:
    """The exact log-probability of each choice, in their order: that the model answers just this."""

    log_probabilities: tuple[float, ...]
    prompt_tokens: int
    timings: Timings


@dataclass(frozen=True)
class Completion:
    """What the model wrote; `completion_tokens` counts reasoning, content and special tokens between."""

    reasoning: str
    content: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: FinishReason
    timings: Timings


@dataclass(frozen=True)
class EngineConfig:
    """What to load and where.

    `device` is "cpu", "cuda:0" or "auto" (the first GPU, else the processor); `dtype` "auto" is bfloat16 on a
    GPU and float32 elsewhere. `threads` are the processor's, None leaves torch's choice. `max_model_len`
    bounds prompt and answer together, None is what the checkpoint allows. `max_batch` requests are computed
    at once. `cache_bytes` for keys, values and image features: None is a share of the memory that is free
    once the weights are there. `step_tokens` of verdicts' prompts make a step, and a quarter of them of
    reports': None is measured all along. `prefix_caching` keeps what was computed of a prompt, and what was
    seen in its images, for others that begin alike. `kernel_cache` is the folder for what is compiled for a
    GPU. Raises ConfigInvalid for numbers below 1.
    """

    checkpoint: Path | str
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int | None = None
    max_model_len: int | None = None
    max_batch: int = 8
    cache_bytes: int | None = None
    step_tokens: int | None = None
    prefix_caching: bool = True
    kernel_cache: Path | str = "var/kernels"
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that leave nothing to compute with."""
        for name in ("threads", "max_model_len", "max_batch", "cache_bytes", "step_tokens"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ConfigInvalid(f"{name} is {value}", "use 1 or more, or leave it out")


@dataclass(frozen=True)
class EngineInfo:
    """What is loaded, for results and status pages; `checkpoint_digest` is a SHA-256."""

    model_name: str
    checkpoint_digest: str
    device: str
    dtype: str
    parameters: int
    max_model_len: int


@dataclass(frozen=True)
class Capacity:
    """How many more requests of each priority the engine takes before they would only wait behind others."""

    verdicts: int
    reports: int


@dataclass(frozen=True)
class PriorityStats:
    """The requests of one priority: those here now, and counts since the start.

    `reused_tokens` are those of `prompt_tokens` whose keys and values were there already. The waits are
    seconds between submission and the first work, the median and the 95th percentile of recent requests.
    """

    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    preemptions: int = 0
    wait_p50: float = 0.0
    wait_p95: float = 0.0

    @property
    def unfinished(self) -> int:
        """Requests that still owe an answer."""
        return self.waiting + self.running


@dataclass(frozen=True)
class EngineStats:
    """What the engine does: per priority, per step, and in its caches.

    Step times are seconds, the batch is requests a step, tokens count those computed a second of work; all
    three of recent steps. `step_age` is how long the present step has lasted, 0 when idle. Of `cache_blocks`
    those in use belong to running requests, those kept hold what a later prompt may begin with. `failure`
    says why the engine cannot go on.
    """

    verdicts: PriorityStats
    reports: PriorityStats
    steps: int = 0
    step_p50: float = 0.0
    step_p95: float = 0.0
    step_age: float = 0.0
    batch_mean: float = 0.0
    tokens_per_second: float = 0.0
    cache_bytes: int = 0
    cache_blocks: int = 0
    cache_blocks_used: int = 0
    cache_blocks_kept: int = 0
    images_seen: int = 0
    images_reused: int = 0
    failure: str | None = None
