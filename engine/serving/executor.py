"""Carries out a step on the device, and finds the request that makes it fail."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from engine.errors import ComputationFailed, EngineError, OutOfMemory
from engine.model.cache import BLOCK_TOKENS, PADDING_BLOCK, AttentionLayout, KVPool
from engine.model.network import ErnieVL
from engine.serving import forward
from engine.serving.blocks import Blocks
from engine.serving.decoding import DecodeBatch, Decoding
from engine.serving.features import Features
from engine.serving.jobs import AnyJob, WriteJob
from engine.serving.scheduler import chunk_of

Item = TypeVar("Item")

SMALLER_REQUEST = "use smaller images, a shorter answer, or a device with more memory"
OTHER_PRECISION = "use another precision, and check the checkpoint's files"


class Executor:
    """Owns the memory of the device; used by the engine's thread alone."""

    def __init__(self, network: ErnieVL, pool: KVPool, blocks: Blocks, features: Features) -> None:
        self.blocks = blocks
        self.features = features
        self.pool = pool
        self._network = network
        self._decoding = Decoding(network, pool)

    def prefill(self, batch: Sequence[tuple[AnyJob, int]]) -> Iterator[tuple[AnyJob, Tensor | EngineError]]:
        """Compute the next so many tokens of each job's prompt; logits of each, or what is wrong with it."""
        for (job, _), outcome in self._isolated(batch, self._prefill):
            yield job, outcome

    def decode(self, jobs: Sequence[WriteJob]) -> Iterator[tuple[WriteJob, Tensor | EngineError]]:
        """Compute the next token of each job; logits `[1, V]` of each, or what is wrong with it."""
        return self._isolated(jobs, self._decode)

    def release(self, job: AnyJob) -> None:
        """Give a job's blocks back; what it computed can be found, until the blocks are wanted."""
        self.blocks.release(job.blocks)
        job.blocks, job.computed, job.features = [], 0, {}

    def preempt(self, job: AnyJob) -> None:
        """Take its blocks; until somebody wants them it finds what it had computed, written tokens too."""
        job.preempt()
        for block, digest in zip(job.blocks[: job.computed // BLOCK_TOKENS], job.chain, strict=False):
            self.blocks.publish(block, digest)
        self.release(job)

    def discard(self, job: AnyJob) -> None:
        """Give the blocks of a failed job back so that nobody ever reads what is in them."""
        self.blocks.forget(job.blocks)
        self.pool.clear(self.blocks.release(job.blocks))
        job.blocks, job.computed, job.features = [], 0, {}

    def _isolated(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Tensor]]
    ) -> Iterator[tuple[Item, Tensor | EngineError]]:
        """Work on all items; where that fails on each half, down to the one that fails alone."""
        try:
            with device_errors():
                outcomes = work(items)
        except EngineError as fault:
            if len(items) > 1:
                middle = len(items) // 2
                yield from self._isolated(items[:middle], work)
                yield from self._isolated(items[middle:], work)
            else:
                self._probe()
                yield items[0], fault
            return
        finite = torch.stack([logits.isfinite().all() for logits in outcomes]).tolist()
        for item, logits, is_finite in zip(items, outcomes, finite, strict=True):
            yield item, logits.float() if is_finite else _not_finite()

    def _probe(self) -> None:
        """Compute anything at all: where even that raises, the device and not the request is at fault."""
        device = self._network.device
        token = torch.zeros(1, dtype=torch.long, device=device)
        self._network.logits(
            self._network.hidden_states(token, token.expand(3, -1), None, AttentionLayout.causal([1]))
        )

    def _prefill(self, batch: Sequence[tuple[AnyJob, int]]) -> list[Tensor]:
        with ExitStack() as undo:
            planned = [(job, self._prepare(job, tokens, undo)) for job, tokens in batch]
            self._look(planned)
            logits = forward.prefill(self._network, self.pool, [job.chunk(tokens) for job, tokens in planned])
            undo.pop_all()
        for job, tokens in planned:
            job.computed += tokens
        return logits

    def _prepare(self, job: AnyJob, tokens: int, undo: ExitStack) -> int:
        """Give a job its blocks, and tell others what they will hold; how many tokens to compute."""
        if not job.blocks:
            undo.callback(self.release, job)
            job.blocks = self.blocks.share(job.shareable)
            job.computed = len(job.blocks) * BLOCK_TOKENS
            if not job.preempted_at:
                job.reused = job.computed
            job.blocks += self.blocks.take(blocks_for(job.reserved) - len(job.blocks))
        # Blocks that another job of this pass fills were not there yet when the step was decided.
        count = chunk_of(job.length - job.computed, job.tail, tokens)
        done = range(job.computed // BLOCK_TOKENS, (job.computed + count) // BLOCK_TOKENS)
        chain = job.chain
        published = [
            job.blocks[index]
            for index in done[: max(0, len(chain) - done.start)]
            if self.blocks.publish(job.blocks[index], chain[index])
        ]
        undo.callback(self.blocks.forget, published)
        return count

    def _look(self, planned: Sequence[tuple[AnyJob, int]]) -> None:
        """See the images among the tokens to compute in one call; a job keeps them for its next chunk."""
        wanted = {job: job.images(tokens) for job, tokens in planned}
        seen = self.features.of(
            [image for job, images in wanted.items() for image in images if image.digest not in job.features]
        )
        for job, images in wanted.items():
            known = job.features | seen
            job.features = {image.digest: known[image.digest] for image in images}

    def _decode(self, jobs: Sequence[WriteJob]) -> list[Tensor]:
        for job in jobs:
            missing = blocks_for(job.computed + 1) - len(job.blocks)
            job.blocks += self.blocks.take(max(0, missing))
        width = max(len(job.blocks) for job in jobs)
        tables = [job.blocks + [PADDING_BLOCK] * (width - len(job.blocks)) for job in jobs]
        tokens = [(*job.next_token(), job.computed) for job in jobs]
        device = self.pool.device
        token_ids, positions, lengths = torch.tensor(tokens, device=device).T
        step = DecodeBatch(token_ids, positions, torch.tensor(tables, device=device), lengths)
        logits = self._decoding(step)
        for job in jobs:
            job.computed += 1
        return list(logits.split(1))


def blocks_for(tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return -(-tokens // BLOCK_TOKENS)


def _not_finite() -> ComputationFailed:
    return ComputationFailed("the network's output is not finite", OTHER_PRECISION)


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn the ways of running out of memory into OutOfMemory, all others into ComputationFailed."""
    try:
        yield
    except EngineError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as fault:
        raise OutOfMemory(str(fault), SMALLER_REQUEST) from fault
    except Exception as fault:  # a pass may raise anything; the request behind it is told, the others go on
        if "DefaultCPUAllocator" in str(fault):
            raise OutOfMemory(str(fault), SMALLER_REQUEST) from fault
        raise ComputationFailed(f"the computation raised {fault!r}", "report it with the log") from fault
