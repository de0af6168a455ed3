"""The 28B model with random codes on the device: prompts, verdicts, reports, memory.

The passes are the engine's own, without its threads and its scheduler.
"""

from functools import cache, partial

import torch
from torch import Tensor

from bench.gpu import targets
from bench.gpu.attention import attention
from bench.gpu.network import random_network, weight_bytes
from bench.gpu.setting import WINDOW_BITS, Part, Setting
from engine.model.cache import KVPool
from engine.model.network import ErnieVL
from engine.serving import forward
from engine.serving.blocks import Blocks
from engine.serving.choices import ChoiceTrie
from engine.serving.decoding import DecodeBatch, Decoding
from engine.serving.executor import Executor, blocks_for
from engine.serving.features import Features
from engine.serving.forward import Chunk
from engine.serving.jobs import ScoreJob
from engine.serving.prompts import EncodedPrompt, PromptImage
from engine.serving.requests import Priority

RECIPE_TOKENS = 60
FIRST_WORD = 100
CLASSES = ((70, 80, 2), (70, 90, 2), (71, 2), (72, 2), (73, 80, 2), (74, 2), (75, 76, 2))
"""The answers of a recipe with seven classes, as tokens."""

REPORT_PROMPT = 512
"""Tokens that stand before a report's next one: a frame, and some text."""


def parts(setting: Setting) -> dict[str, Part]:
    """Each kind of work by itself, what has a target first."""
    found = {"weights": Part(weights, (targets.WEIGHTS,))}
    first, *batches = setting.sizes.batches
    found[_verdicts(first)] = Part(partial(verdicts, first), (targets.VERDICT_TIME,))
    for streams in setting.sizes.streams:
        found[f"report, {streams} streams"] = Part(partial(reports, streams), (report_rate(streams),))
    for batch in reversed(batches):
        found[_verdicts(batch)] = Part(partial(verdicts, batch), (targets.verdict_rate(batch),))
    served = Part(lambda setting: attention(setting, network_of(setting)))
    return found | {"prompt": Part(prompt), "attention": served, "memory": Part(memory)}


def _verdicts(batch: int) -> str:
    return f"verdicts, {batch} in a pass"


def report_rate(streams: int) -> str:
    """The name of the rate at which so many reports are written."""
    return targets.REPORT_RATE if streams == 1 else f"report, {streams} streams"


@cache
def network_of(setting: Setting) -> ErnieVL:
    """The network with random codes, made once."""
    return random_network(setting.sizes.config, WINDOW_BITS, setting.dtype, setting.draw)


def weights(setting: Setting) -> None:
    """Bytes of all weights, each once."""
    setting.rows.add(targets.WEIGHTS, weight_bytes(network_of(setting)) / 1e9, "GB")


def memory(setting: Setting) -> None:
    """The most that was in use at any time."""
    if not setting.on_gpu:
        setting.rows.skip("most memory in use", "only a GPU keeps the account")
        return
    setting.rows.add("most memory in use", torch.cuda.max_memory_allocated(setting.device) / 1e9, "GB")


def pool_of(network: ErnieVL, tokens: int, sequences: int) -> tuple[KVPool, list[list[int]]]:
    """A pool for so many sequences of that length, and their tables; block 0 is nobody's."""
    each = blocks_for(tokens)
    pool = KVPool(network.config.text, 1 + sequences * each, network.dtype, network.device)
    return pool, [list(range(1 + i * each, 1 + (i + 1) * each)) for i in range(sequences)]


def prompt(setting: Setting) -> None:
    """How fast a long text is read, at once."""
    network, tokens = network_of(setting), setting.sizes.prompt
    pool, (table,) = pool_of(network, tokens, 1)
    ids = setting.whole(0, FIRST_WORD, tokens)
    piece = Chunk(ids, torch.arange(tokens).expand(3, -1), 0, table)
    spread = setting.clock.spread(lambda _: forward.prefill(network, pool, [piece]), 5)
    setting.rows.add("prompt", tokens / spread.median, "tokens/s", f"{tokens} tokens, {spread}")


def reports(streams: int, setting: Setting) -> None:
    """Tokens a second of several reports that are written side by side, the likeliest token each.

    As in the engine, a step goes from numbers on the host to numbers on the host.
    """
    network, steps = network_of(setting), setting.sizes.steps
    pool, tables = pool_of(network, REPORT_PROMPT + 2 * steps, streams)
    decoding = Decoding(network, pool)
    tokens, device = [FIRST_WORD] * streams, setting.device

    def step(number: int) -> None:
        done = REPORT_PROMPT + number
        ids, positions, lengths = torch.tensor([(token, done, done) for token in tokens], device=device).T
        logits = decoding(DecodeBatch(ids, positions, torch.tensor(tables, device=device), lengths))
        tokens[:] = logits.argmax(-1).tolist()

    spread = setting.clock.spread(step, steps)
    note = f"{streams} streams behind {REPORT_PROMPT} tokens, a step {spread}"
    setting.rows.add(report_rate(streams), streams / spread.median, "tokens/s", note)


def verdicts(batch: int, setting: Setting) -> None:
    """Verdicts on so many different frames in one pass: a recipe's words, the frame, seven classes.

    From patches on the host to log-probabilities on the host; decoding the picture file is left out.
    """
    network, trie = network_of(setting), ChoiceTrie.of(CLASSES)
    jobs = [_job(setting, network, trie, number) for number in range(batch)]
    most = 1 + batch * blocks_for(jobs[0].longest)
    pool = KVPool(network.config.text, most, network.dtype, network.device)
    executor = Executor(network, pool, Blocks(most, keep=False), Features(network, 0))

    def judge(_: int) -> None:
        for job, logits in executor.prefill([(job, job.length) for job in jobs]):
            if not isinstance(logits, Tensor):
                raise logits
            trie.log_probabilities(logits)
            executor.release(job)

    spread = setting.clock.spread(judge, 5)
    note = f"{jobs[0].length} tokens each, {spread}"
    if batch == 1:
        setting.rows.add(targets.VERDICT_TIME, spread.median * 1e3, "ms", note)
    setting.rows.add(targets.verdict_rate(batch), batch / spread.median, "/s", note)


def _job(setting: Setting, network: ErnieVL, trie: ChoiceTrie, number: int) -> ScoreJob:
    config = network.config
    side = setting.sizes.side // config.vision.patch_size
    patches = setting.normal(side * side, config.vision.patch_dim).float().cpu()
    tokens = side * side // config.vision.spatial_merge_size**2
    words = range(FIRST_WORD, FIRST_WORD + RECIPE_TOKENS)
    ids = [*words, config.image_start_token_id, *[config.image_token_id] * tokens, config.image_end_token_id]
    frame = PromptImage(number.to_bytes(4, "big"), (1, side, side), tokens, lambda: patches)
    encoded = EncodedPrompt.of(ids, [frame], config)
    return ScoreJob(encoded, Priority.VERDICT, None, received=0.0, trie=trie)
