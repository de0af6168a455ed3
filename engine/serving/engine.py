"""The engine's face: score choices, generate text."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import torch

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.generation import GenerationDefaults
from engine.checkpoint.template import THINK_END
from engine.checkpoint.tensors import digest_of
from engine.errors import EngineError
from engine.model.cache import KVPool
from engine.model.loading import load
from engine.process import keep_memory
from engine.serving.blocks import Blocks
from engine.serving.choices import ChoiceTrie, choice_trie
from engine.serving.device import keep_compiled, resolve_device, resolve_dtype
from engine.serving.executor import Executor
from engine.serving.features import Features
from engine.serving.grammar import GrammarBook, Schema, guide_of
from engine.serving.jobs import Job, ScoreJob, WriteJob, check_deadline
from engine.serving.loop import Loop
from engine.serving.memory import CONTEXTS_A_REQUEST, cache_budget
from engine.serving.pace import Pace
from engine.serving.prompts import PromptEncoder
from engine.serving.reasoning import SpecialTokens, Writer
from engine.serving.requests import (
    Capacity,
    Completion,
    EngineConfig,
    EngineInfo,
    EngineStats,
    OnText,
    Priority,
    Prompt,
    Sampling,
    Scores,
)
from engine.serving.sampler import completed
from engine.serving.text import TextDecoder

Result = TypeVar("Result")


class Engine:
    """One loaded model and the thread that computes with it; its methods may be called from any thread.

    Construction loads the weights, and raises CheckpointInvalid or DeviceUnavailable. What is wrong with a
    request arrives through its future, as an EngineError. As a context manager it drains on leaving.
    """

    def __init__(self, config: EngineConfig) -> None:
        device = resolve_device(config.device)
        keep_compiled(device, Path(config.kernel_cache))
        if device.type == "cpu":
            keep_memory()
        dtype = resolve_dtype(config.dtype, device)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        directory = Path(config.checkpoint)
        network = load(directory, dtype, device, config.progress)
        text = network.config.text
        context = min(config.max_model_len or text.max_positions, text.max_positions)
        most = CONTEXTS_A_REQUEST * config.max_batch * context
        self._budget = cache_budget(text, dtype, device, config.cache_bytes, most)
        features = Features(network, self._budget.feature_bytes if config.prefix_caching else 0)
        self._encoder = PromptEncoder(directory, network.config, context, features.touch)
        self._tokenizer = self._encoder.tokenizer
        self._guide = guide_of(self._tokenizer, text.vocab_size)
        self._grammars = GrammarBook(self._guide)
        self._defaults = GenerationDefaults.from_checkpoint(directory)
        self._special_tokens = self._read_special_tokens(network.config)
        self._trie = lru_cache(maxsize=64)(self._build_trie)
        self.info = EngineInfo(
            model_name=directory.resolve().name,
            checkpoint_digest=digest_of(directory),
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            parameters=network.weight_count,
            max_model_len=min(context, self._budget.tokens),
        )
        pool = KVPool(text, self._budget.blocks, dtype, device)
        executor = Executor(network, pool, Blocks(self._budget.blocks, config.prefix_caching), features)
        self._loop = Loop(executor, Pace(network, config))

    def score(
        self,
        prompt: Prompt,
        choices: Sequence[str],
        priority: Priority = Priority.VERDICT,
        deadline: float | None = None,
    ) -> Future[Scores]:
        """The exact log-probability of each choice as the whole answer, without thinking.

        `deadline` is a moment of `time.monotonic()`: a request that would begin later ends with
        DeadlinePassed.
        """
        received = time.monotonic()

        def prepare() -> ScoreJob:
            trie = self._trie(choices if isinstance(choices, str) else tuple(choices))
            encoded = self._encoder.encode(prompt, thinking=False, answer_tokens=trie.nodes)
            return ScoreJob(encoded, priority, deadline, received, trie=trie)

        return self._submit(prepare, deadline)

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        thinking: bool = False,
        schema: Schema | None = None,
        priority: Priority = Priority.REPORT,
        deadline: float | None = None,
        on_text: OnText | None = None,
    ) -> Future[Completion]:
        """Write an answer, after reasoning if `thinking`; a JSON `schema` binds the answer alone.

        With finish reason "stop" a schema-bound answer is valid JSON of that schema; with "length" it is cut
        off. Cancelling the future stops the work at the next step. `deadline` as in `score`.
        """
        received = time.monotonic()

        def prepare() -> WriteJob:
            grammar = None if schema is None else self._grammars.grammar(schema)
            encoded = self._encoder.encode(prompt, thinking, answer_tokens=sampling.max_tokens)
            chosen = completed(sampling, self._defaults)
            prompt_ids = encoded.token_ids.tolist()
            writer = Writer(
                self._decoder, self._special_tokens, chosen, grammar, thinking, on_text, prompt_ids
            )
            return WriteJob(
                encoded, priority, deadline, received, writer=writer, max_tokens=sampling.max_tokens
            )

        return self._submit(prepare, deadline)

    def stats(self) -> EngineStats:
        """What the engine does now and has done since the start."""
        return self._loop.stats()

    def capacity(self) -> Capacity:
        """How many more requests it takes now; more are taken, and only wait."""
        return self._loop.capacity()

    def check_integrity(self) -> None:
        """Compare the accounts of the cache's blocks with one another; raises CacheCorrupt, EngineClosed."""
        self._loop.check_integrity().result()

    def close(self, drain: bool = True) -> None:
        """Take no more requests and end: after all that wait, or at once, failing them with EngineClosed."""
        self._loop.close(drain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)

    def _submit(self, prepare: Callable[[], Job[Result]], deadline: float | None) -> Future[Result]:
        """Prepare on the caller's thread, so that the device never waits for pixels."""
        try:
            check_deadline(deadline)
            job = prepare()
            self._budget.check(job.prompt.length, job.longest)
        except EngineError as fault:
            refused: Future[Result] = Future()
            refused.set_exception(fault)
            return refused
        self._loop.submit(job)
        return job.future

    def _build_trie(self, choices: Sequence[str]) -> ChoiceTrie:
        return choice_trie(choices, self._tokenizer)

    def _decoder(self) -> TextDecoder:
        return TextDecoder(self._guide, self._tokenizer.control)

    def _read_special_tokens(self, config: ModelConfig) -> SpecialTokens:
        closing = (
            (self._tokenizer.id_of(THINK_END), *self._encoder.separator()) if self._tokenizer.thinks else ()
        )
        beyond = range(self._tokenizer.size, config.text.vocab_size)
        line_end = tuple(self._tokenizer.encode("\n"))
        return SpecialTokens(
            self._tokenizer.stop_ids, line_end, closing, (*config.image_special_ids, *beyond)
        )
