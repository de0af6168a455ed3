"""The 28B model on this machine: how fast it reads, writes and sees, and how much memory it takes.

    python -m bench.full_size.speed DIRECTORY [--threads 2] [--peer PYTHON --peer-scripts FOLDER]

DIRECTORY receives a checkpoint with random codes (8 GB), written once, and the peer's file (7.5 GB). The peer
is llama.cpp on the decoder's shapes with random Q2_K experts: PYTHON has llama-cpp-python and gguf installed,
FOLDER holds llamacpp_make.py and llamacpp_run.py. Both get three tokens first, then 256 at once, then 32
one by one; they take turns, and medians are compared.
"""

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor

from bench import limits
from bench.full_size.layout import CONFIG, write
from bench.host import print_host
from engine.model.cache import KVPool
from engine.model.loading import load
from engine.model.network import ErnieVL
from engine.process import keep_memory
from engine.serving import forward
from engine.serving.blocks import Blocks
from engine.serving.choices import ChoiceTrie
from engine.serving.executor import Executor, blocks_for
from engine.serving.features import Features
from engine.serving.forward import Chunk
from engine.serving.jobs import ScoreJob
from engine.serving.prompts import EncodedPrompt, PromptImage
from engine.serving.requests import Priority

PROMPT, STEPS = 256, 32
TURNS = 3
BLOCKS = 65
"""For a thousand tokens, and the one that is nobody's."""

SIDE = 448
RECIPE_TOKENS = 60
CLASSES = ((70, 80, 2), (70, 90, 2), (71, 2), (72, 2), (73, 80, 2), (74, 2), (75, 76, 2))
"""The answers of a recipe with seven classes, as tokens."""

FREE_BYTES = 18 * 2**30


class Sequence:
    """One text that grows, in a pool of its own."""

    def __init__(self, network: ErnieVL) -> None:
        self.network = network
        self.length = 0
        self.table = list(range(1, BLOCKS))
        self.pool = KVPool(network.config.text, BLOCKS, network.dtype, network.device)

    def feed(self, token_ids: Tensor) -> None:
        """Compute a prompt's tokens, and the logits of the last."""
        positions = torch.arange(self.length, self.length + len(token_ids)).expand(3, -1)
        forward.prefill(self.network, self.pool, [Chunk(token_ids, positions, self.length, self.table)])
        self.length += len(token_ids)

    def step(self, token_ids: Tensor) -> None:
        """Compute one more token `[1]` and its logits, with the blocks that the text has so far."""
        length = torch.tensor([self.length])
        table = torch.tensor([self.table[: blocks_for(self.length + 1)]])
        forward.decode(self.network, self.pool, token_ids, length, table, length)
        self.length += 1


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def text_rates(network: ErnieVL) -> tuple[float, float]:
    """Tokens a second of a prompt, and of an answer (the median step), as the peer measures them."""
    draw = torch.Generator().manual_seed(0)
    sequence = Sequence(network)
    sequence.feed(torch.tensor([5, 6, 7]))
    prompt = torch.randint(0, 100_000, (PROMPT,), generator=draw)
    reading = seconds(lambda: sequence.feed(prompt))
    steps = [seconds(lambda: sequence.step(torch.randint(0, 100_000, (1,)))) for _ in range(STEPS)]
    return PROMPT / reading, 1 / statistics.median(steps)


def picture() -> tuple[Tensor, tuple[int, int, int]]:
    """Patches and grid of one image."""
    side = SIDE // CONFIG["vision_config"]["patch_size"]
    return torch.randn(side * side, 588), (1, side, side)


def verdict_prompt(network: ErnieVL) -> EncodedPrompt:
    """A recipe's words, then the frame."""
    patches, grid = picture()
    config = network.config
    tokens = len(patches) // config.vision.spatial_merge_size**2
    ids = [*range(100, 100 + RECIPE_TOKENS), config.image_start_token_id, *[config.image_token_id] * tokens]
    ids.append(config.image_end_token_id)
    return EncodedPrompt.of(ids, [PromptImage(b"frame", grid, tokens, lambda: patches)], config)


def judge(network: ErnieVL) -> None:
    """One verdict: the prompt, the frame, and the scores of seven classes, with nothing computed before."""
    trie = ChoiceTrie.of(CLASSES)
    job = ScoreJob(verdict_prompt(network), Priority.VERDICT, None, received=0.0, trie=trie)
    pool = KVPool(network.config.text, BLOCKS, network.dtype, network.device)
    executor = Executor(network, pool, Blocks(BLOCKS), Features(network, 0))
    for _, logits in executor.prefill([(job, job.length)]):
        assert isinstance(logits, Tensor), logits
        trie.log_probabilities(logits)


def peer_rates(python: Path, scripts: Path, directory: Path, threads: int) -> tuple[float, float]:
    """Tokens a second of llama.cpp, prompt and answer."""
    model = directory / "peer.gguf"
    if not model.exists():
        layers = str(CONFIG["num_hidden_layers"])
        subprocess.run([str(python), str(scripts / "llamacpp_make.py"), str(model), layers], check=True)
    command = [str(part) for part in (python, scripts / "llamacpp_run.py", model, threads, PROMPT)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"prefill ([\d.]+) tok/s +decode median ([\d.]+)", printed)
    assert found is not None, f"the peer printed {printed!r}"
    return float(found[1]), float(found[2])


def stored_bytes(directory: Path) -> int:
    """Bytes of all weights."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


def resident() -> float:
    """GB of this process in memory, the mapped weights that were touched among them."""
    return psutil.Process().memory_info().rss / 1e9


def prepared(directory: Path) -> Path:
    """The checkpoint, written if it is not there; raises SystemExit where the disk is too full for it."""
    checkpoint = directory / "ours"
    if not (checkpoint / "lynceus.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(directory).free < FREE_BYTES:
            sys.exit(f"{directory} has less than {FREE_BYTES >> 30} GiB free")
        write(checkpoint)
    return checkpoint


def operations(network: ErnieVL) -> float:
    """Multiplications and additions of the decoder for one token of text."""
    text = network.config.text
    attention = 2 * text.hidden_size * (text.num_heads + text.num_kv_heads) * text.head_dim
    active = text.experts_per_token + text.num_shared_experts
    sparse = sum(text.sparse_layers)
    experts = sparse * 3 * text.hidden_size * active * text.text_expert_size
    dense = (text.num_layers - sparse) * 3 * text.hidden_size * text.intermediate_size
    return 2.0 * (text.num_layers * attention + experts + dense)


def bytes_a_token(network: ErnieVL) -> float:
    """Bytes of weights that one step of writing reads."""
    text = network.config.text
    routed = sum(text.sparse_layers) * 3 * text.hidden_size * text.experts_per_token * text.text_expert_size
    others = operations(network) / 2 - routed
    return routed * 2 / 8 + others * 4.25 / 8 + text.vocab_size * text.hidden_size


def show(name: str, what: str) -> None:
    """Print one figure."""
    print(f"{name:10} {what}", flush=True)


Rates = tuple[float, float]
"""Tokens a second of a prompt, and of an answer."""


@torch.inference_mode()
def ours(checkpoint: Path, limit: limits.Limits, peer: Callable[[], Rates] | None) -> None:
    """Measure all of our figures, in turns with the peer, and print them."""
    keep_memory()
    started = time.perf_counter()
    network = load(checkpoint, torch.float32, "cpu")
    loading = time.perf_counter() - started
    show(
        "load",
        f"{loading:.2f} s, weights {stored_bytes(checkpoint) / 1e9:.2f} GB, {resident():.2f} GB resident",
    )
    turns = [(text_rates(network), None if peer is None else peer()) for _ in range(TURNS)]
    show_rates([mine for mine, _ in turns], [its for _, its in turns if its is not None], network, limit)
    patches, grid = picture()
    seeing = [seconds(lambda: network.see(patches, [grid])) for _ in range(TURNS)]
    image = f"{SIDE} x {SIDE} in {spread(seeing)} s"
    show("image", f"{len(patches) / 4 / statistics.median(seeing):.1f} vision tokens/s, {image}")
    show("verdict", f"{spread([seconds(lambda: judge(network)) for _ in range(TURNS)])} s")
    show("resident", f"{resident():.2f} GB, at most {peak():.2f} GB")


def show_rates(mine: list[Rates], its: list[Rates], network: ErnieVL, limit: limits.Limits) -> None:
    """Print how fast text is read and written, beside what the machine and the peer can do."""
    reading, writing = (statistics.median(rates) for rates in zip(*mine, strict=True))
    achieved, moved = reading * operations(network) / 1e9, writing * bytes_a_token(network) / 1e9
    shares = (
        f"{achieved / limit.int8:.2f} of the int8 limit",
        f"{moved / limit.read:.2f} of the read bandwidth",
    )
    for index, (name, share) in enumerate(zip(("prompt", "answer"), shares, strict=True)):
        own = [rates[index] for rates in mine]
        show(name, f"{spread(own)} tok/s, {share}")
        if its:
            peers = [rates[index] for rates in its]
            ratio = statistics.median(own) / statistics.median(peers)
            show(name, f"llama.cpp {spread(peers)} tok/s: ours {ratio:.2f} x")


def spread(values: list[float]) -> str:
    """The median, with the least and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def peak() -> float:
    """GB that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Measure the limits, ours, and the peer where one is given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count())
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer-scripts", type=Path)
    arguments = parser.parse_args()
    print_host()
    torch.set_num_threads(arguments.threads)
    checkpoint = prepared(arguments.directory)
    limit = limits.measure(arguments.threads)
    show("limits", f"{limit.read:.1f} GB/s read, {limit.int8:.0f} int8 GOPS")
    peer = None
    if arguments.peer is not None:
        peer = partial(
            peer_rates, arguments.peer, arguments.peer_scripts, arguments.directory, arguments.threads
        )
    ours(checkpoint, limit, peer)


if __name__ == "__main__":
    main()
