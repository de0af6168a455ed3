"""Where a verdict's time goes: its image, its own tokens, and what a kept beginning and a batch save.

    python -m bench.serving.parts [--models starter mid] [--work FOLDER] [--threads N]

Passes of `bench.serving.verdicts`'s recipe are timed by themselves, without the scheduler: the vision tower
for one image and for eight, a cold verdict, and verdicts whose words and golden image are cached, alone and
eight at once. Everything is given beside the cold verdict, as the median of the repeats.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import torch
from torch import Tensor

from bench.host import print_host
from bench.serving.recipe import CHOICES, Line
from bench.serving.verdicts import WORK, checkpoint_of
from engine.model.cache import BLOCK_TOKENS, KVPool
from engine.model.loading import load
from engine.process import keep_memory
from engine.serving.blocks import Blocks
from engine.serving.choices import choice_trie
from engine.serving.executor import Executor
from engine.serving.features import Features
from engine.serving.jobs import ScoreJob
from engine.serving.prompts import EncodedPrompt, PromptEncoder
from engine.serving.requests import Priority

REPEATS, TOGETHER = 9, 8
BLOCKS = 1024
FEATURE_BYTES = 2**26
CONTEXT = 2048


class Parts:
    """One model, and the passes that a verdict consists of."""

    def __init__(self, checkpoint: Path) -> None:
        self.network = load(checkpoint, torch.float32, "cpu")
        self.encoder = PromptEncoder(checkpoint, self.network.config, CONTEXT)
        self.trie = choice_trie(CHOICES, self.encoder.tokenizer)
        self.pool = KVPool(self.network.config.text, BLOCKS, torch.float32, self.network.device)
        self.prompts = self._prompts()

    def _prompts(self) -> Iterator[EncodedPrompt]:
        """Verdicts' prompts, each with a frame of its own."""
        for prompt in Line().verdicts(REPEATS * (2 * TOGETHER + 4)):
            yield self.encoder.encode(prompt, thinking=False, answer_tokens=self.trie.nodes)

    def executor(self) -> Executor:
        """One that has computed nothing yet."""
        return Executor(self.network, self.pool, Blocks(BLOCKS), Features(self.network, FEATURE_BYTES))

    def jobs(self, count: int) -> list[ScoreJob]:
        """The next verdicts."""
        return [
            ScoreJob(next(self.prompts), Priority.VERDICT, None, received=0.0, trie=self.trie)
            for _ in range(count)
        ]

    def see(self, count: int) -> float:
        """Seconds for the images of new frames."""
        images = [next(self.prompts).images[-1] for _ in range(count)]
        patches, grids = torch.cat([image.patches for image in images]), [image.grid for image in images]
        return seconds(lambda: self.network.see(patches, grids))

    def judge(self, executor: Executor, count: int) -> float:
        """Seconds for verdicts in one pass."""
        jobs = self.jobs(count)

        def work() -> None:
            for job, logits in executor.prefill([(job, job.length) for job in jobs]):
                assert isinstance(logits, Tensor), logits
                executor.release(job)

        return seconds(work)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median(work: Callable[[], float]) -> float:
    """Of the repeats, the first left out."""
    return statistics.median([work() for _ in range(REPEATS)][1:])


@torch.inference_mode()
def measure(model: str, work: Path) -> None:
    """Print one model's parts."""
    parts = Parts(checkpoint_of(model, work))
    kept = parts.executor()
    parts.judge(kept, 1)
    warm = parts.jobs(1)[0]
    shared = len(kept.blocks.found(warm.shareable)) * BLOCK_TOKENS
    cold = median(lambda: parts.judge(parts.executor(), 1))
    shares = {
        "a frame's image": median(lambda: parts.see(1)),
        f"one of {TOGETHER} images": median(lambda: parts.see(TOGETHER)) / TOGETHER,
        "a verdict with its prefix cached": median(lambda: parts.judge(kept, 1)),
        f"one of {TOGETHER} such verdicts": median(lambda: parts.judge(kept, TOGETHER)) / TOGETHER,
    }
    print(f"{model}: {warm.length} tokens, {shared} of them kept; a cold verdict is 1", flush=True)
    for name, share in shares.items():
        print(f"  {name:36} {share / cold:.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=("starter", "mid"), default=["starter", "mid"])
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count())
    given = parser.parse_args(arguments)
    print_host()
    torch.set_num_threads(given.threads)
    keep_memory()
    for model in given.models:
        measure(model, given.work)


if __name__ == "__main__":
    main()
