"""The 28B model with random codes on the device: prompts, verdicts, reports, memory.

The passes are the engine's own, without its threads and its scheduler.
"""

import torch
from torch import Tensor

from bench import gpu_targets as targets
from bench.gpu_network import random_network, weight_bytes
from bench.gpu_setting import WINDOW_BITS, Setting
from engine.model.cache import KVPool
from engine.model.network import ErnieVL
from engine.serving import forward
from engine.serving.blocks import Blocks
from engine.serving.choices import ChoiceTrie
from engine.serving.executor import Executor, blocks_for
from engine.serving.features import Features
from engine.serving.forward import Piece
from engine.serving.jobs import ScoreJob
from engine.serving.prompts import EncodedPrompt, PromptImage
from engine.serving.requests import Priority

RECIPE_TOKENS = 60
FIRST_WORD = 100
CLASSES = ((70, 80, 2), (70, 90, 2), (71, 2), (72, 2), (73, 80, 2), (74, 2), (75, 76, 2))
"""The answers of a recipe with seven classes, as tokens."""

REPORT_PROMPT = 512
"""Tokens that stand before a report's next one: a frame, and some text."""


def run(setting: Setting) -> None:
    """Make the network, then measure each kind of work; what does not fit into memory is written down."""
    network = random_network(setting.sizes.config, WINDOW_BITS, setting.dtype, setting.draw)
    setting.rows.add(targets.WEIGHTS, weight_bytes(network) / 1e9, "GB")
    with setting.rows.attempt("prompt"):
        prompt(setting, network)
    for streams in setting.sizes.streams:
        name = targets.REPORT_RATE if streams == 1 else "report, several streams"
        with setting.rows.attempt(name):
            reports(setting, network, streams, name)
    for batch in setting.sizes.batches:
        with setting.rows.attempt(f"{batch} verdicts"):
            verdicts(setting, network, batch)
    if setting.on_gpu:
        memory = torch.cuda.max_memory_allocated(setting.device) / 1e9
        setting.rows.add("most memory in use", memory, "GB")


def _pool(network: ErnieVL, tokens: int, sequences: int) -> tuple[KVPool, list[list[int]]]:
    """A pool for so many sequences of that length, and their tables; block 0 is nobody's."""
    each = blocks_for(tokens)
    pool = KVPool(network.config.text, 1 + sequences * each, network.dtype, network.device)
    return pool, [list(range(1 + i * each, 1 + (i + 1) * each)) for i in range(sequences)]


def prompt(setting: Setting, network: ErnieVL) -> None:
    """How fast a long text is read, at once."""
    tokens = setting.sizes.prompt
    pool, (table,) = _pool(network, tokens, 1)
    ids = setting.whole(0, FIRST_WORD, tokens)
    piece = Piece(ids, torch.arange(tokens).expand(3, -1), 0, table)
    spread = setting.clock.spread(lambda _: forward.read(network, pool, [piece]), 5)
    setting.rows.add("prompt", tokens / spread.median, "tokens/s", f"{tokens} tokens, {spread}")


def reports(setting: Setting, network: ErnieVL, streams: int, name: str) -> None:
    """Tokens a second of several reports that are written side by side, the likeliest token each."""
    steps = setting.sizes.steps
    pool, tables = _pool(network, REPORT_PROMPT + 2 * steps, streams)
    table = torch.tensor(tables, device=setting.device)
    token = setting.whole(0, FIRST_WORD, streams)
    lengths = torch.full((streams,), REPORT_PROMPT, device=setting.device)

    def step(_: int) -> None:
        logits = forward.write(network, pool, token, lengths, table, lengths)
        token.copy_(logits.argmax(-1))
        lengths.add_(1)

    spread = setting.clock.spread(step, steps)
    note = f"{streams} streams behind {REPORT_PROMPT} tokens, a step {spread}"
    setting.rows.add(name, streams / spread.median, "tokens/s", note)


def verdicts(setting: Setting, network: ErnieVL, batch: int) -> None:
    """Verdicts on so many different frames in one pass: a recipe's words, the frame, seven classes."""
    trie = ChoiceTrie.of(CLASSES)
    jobs = [_job(setting, network, trie, number) for number in range(batch)]
    most = 1 + batch * blocks_for(jobs[0].longest)
    pool = KVPool(network.config.text, most, network.dtype, network.device)
    executor = Executor(network, pool, Blocks(most, keep=False), Features(network, 0))

    def judge(_: int) -> None:
        for job, logits in executor.read([(job, job.length) for job in jobs]):
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
    patches = setting.normal(side * side, config.vision.patch_dim)
    tokens = side * side // config.vision.spatial_merge_size**2
    words = range(FIRST_WORD, FIRST_WORD + RECIPE_TOKENS)
    ids = [*words, config.image_start_token_id, *[config.image_token_id] * tokens, config.image_end_token_id]
    frame = PromptImage(number.to_bytes(4, "big"), (1, side, side), tokens, lambda: patches)
    encoded = EncodedPrompt.of(ids, [frame], config)
    return ScoreJob(encoded, Priority.VERDICT, None, received=0.0, trie=trie)
