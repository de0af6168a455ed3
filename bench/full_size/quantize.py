"""`lynceus quantize` at full width: peak memory, a kill halfway, throughput.

    python -m bench.full_size.quantize DIRECTORY [--experts 1] [--layers 4]

Writes random checkpoints of the 28B model's widths in bf16 to DIRECTORY, with fewer experts and layers, and
quantizes them with pictures: once in one go, and once killed halfway and resumed. Two more are measured for
their peak memory, one three times as deep and one with all 64 + 64 experts in its only sparse layer. There
the search is left out, since it takes hours and a few megabytes: everything else happens as in the command.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.full_size.layout import CONFIG
from bench.host import print_host
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.names import Piece
from engine.checkpoint.tensors import INDEX, Manifest, StoredTensors
from engine.compression.plan import Options, make_plan
from engine.model.loading import is_router, placed
from engine.model.network import ErnieVL
from services.cli.places import CHECKPOINT, RECIPES, SAMPLES

WORDS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json")
"""Of the starter, whose vocabulary is a part of the full one: the pictures must become tokens."""

ALL_EXPERTS = 64
PICTURES = 2
LIMIT_GB = 8.0
WITHOUT_SEARCH = "without-search"


@dataclass(frozen=True)
class Run:
    """A finished or killed command: its exit code, seconds, and peak memory in bytes."""

    code: int
    seconds: float
    peak: int


def configuration(experts: int, layers: int) -> dict[str, Any]:
    """The 28B model's, with fewer experts and layers, and the ids of the starter's tokens."""
    starter = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    marks = {name: starter[name] for name in starter if name.endswith("_token_id")}
    sizes = {"num_hidden_layers": layers, "moe_num_experts": [experts, experts]}
    ends = {"moe_k": min(experts, CONFIG["moe_k"]), "moe_layer_end_index": [layers, layers]}
    return {**CONFIG, **sizes, **ends, **marks}


def write_source(directory: Path, experts: int, layers: int) -> None:
    """Random weights in the released layout, one file a layer."""
    directory.mkdir(parents=True)
    content = configuration(experts, layers)
    config = ModelConfig.from_json(content)
    with torch.device("meta"):
        network = ErnieVL(config)
    shards: dict[str, dict[str, Piece]] = {}
    for name, pieces in placed(network, Manifest()).items():
        layer = name.split(".")[2] if name.startswith("decoder.layers.") else "rest"
        shards.setdefault(f"model-{layer}.safetensors", {}).update({piece.key: piece for piece in pieces})
    draw, places = torch.Generator().manual_seed(0), dict[str, str]()
    for file, held in shards.items():
        save_file({key: _random(piece, draw) for key, piece in held.items()}, directory / file)
        places |= dict.fromkeys(held, file)
    (directory / INDEX).write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(content), encoding="utf-8")
    for word in WORDS:
        shutil.copyfile(CHECKPOINT / word, directory / word)


def _random(piece: Piece, draw: torch.Generator) -> Tensor:
    """Weights that keep a product as large as its input; norms of one, no biases."""
    if len(piece.shape) == 1 or ".moe_statics." in piece.key:
        return torch.full(piece.shape, 0.0 if "bias" in piece.key else 1.0)
    kind = torch.float32 if is_router(piece.key) else torch.bfloat16
    return torch.empty(piece.shape, dtype=kind).normal_(0, piece.shape[-1] ** -0.5, generator=draw)


def write_pictures(directory: Path) -> None:
    """A few pictures of the line to calibrate with."""
    folder = directory / "surface"
    folder.mkdir(parents=True)
    for picture in sorted((SAMPLES / "surface").iterdir())[:PICTURES]:
        shutil.copy(picture, folder)


def measured(command: Sequence[str], kill_at: Path | None = None) -> Run:
    """Run a command to its end, or kill it once `kill_at` is there."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while kill_at is not None and not kill_at.exists() and process.poll() is None:
        time.sleep(0.05)
    if kill_at is not None and process.returncode is None:
        process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    return Run(os.waitstatus_to_exitcode(status), time.perf_counter() - start, 1024 * usage.ru_maxrss)


def quantize(source: Path, target: Path, pictures: Path, kill_at: Path | None = None) -> Run:
    """The command as a person gives it."""
    command = [sys.executable, "-m", "services.cli", "quantize", str(source), str(target)]
    return measured([*command, "--calibrate", str(pictures)], kill_at)


def without_search(source: Path, target: Path, pictures: Path) -> Run:
    """The same in a process of its own, with the first path in place of the nearest."""
    command = [sys.executable, "-m", "bench.full_size.quantize", WITHOUT_SEARCH]
    run = measured([*command, str(source), str(target), str(pictures)])
    assert run.code == 0, f"{target} was not written"
    return run


def compress_without_search(source: Path, target: Path, pictures: Path) -> None:
    """What that process does."""
    from engine.compression import compress
    from services.cli.compression.calibration import read_examples

    def first(targets: Tensor, _: int) -> Tensor:
        return torch.zeros(targets.shape[:2], dtype=torch.uint8, device=targets.device)

    with patch("engine.quant.ldlq.encode", first):
        compress(source, target, Options(), read_examples(pictures, RECIPES), lambda _: None)


def digests(directory: Path) -> Mapping[str, str]:
    """SHA-256 of every file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def routed_weights(source: Path) -> int:
    """How many weights of a checkpoint go to 2 bits."""
    config = ModelConfig.from_json(json.loads((source / "config.json").read_text(encoding="utf-8")))
    return make_plan(StoredTensors(source), config, Options()).routed_weights


def stored(directory: Path) -> float:
    """Gigabytes of all weights."""
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) / 1e9


def show(name: str, source: Path, run: Run) -> None:
    """One line: sizes, time and peak."""
    size = f"{stored(source):.2f} GB, {routed_weights(source) / 1e6:,.0f} M routed weights"
    peak = f"at most {run.peak / 1e9:.2f} GB in memory (limit {LIMIT_GB})"
    print(f"{name}: {size}, {run.seconds:.0f} s, {peak}", flush=True)


def killed_and_resumed(source: Path, work: Path, pictures: Path, whole: Path, layers: int) -> None:
    """Kill the command in the layer behind the middle one, resume, and compare every file."""
    target = work / "resumed"
    middle = target.with_name("resumed.unfinished") / f"model-{layers:05}-of-{layers + 1:05}.safetensors"
    killed = quantize(source, target, pictures, middle)
    assert killed.code == -signal.SIGKILL, f"the command ended with {killed.code} before it could be killed"
    resumed = quantize(source, target, pictures)
    same = digests(target) == digests(whole)
    times = f"{killed.seconds:.0f} s, resumed {resumed.seconds:.0f} s"
    print(
        f"killed after {times}, {len(digests(target))} files: {'identical' if same else 'DIFFERENT'}",
        flush=True,
    )


def main() -> None:
    """Print sizes, times and peaks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--experts", type=int, default=1, help="of each modality; the model has 64")
    parser.add_argument("--layers", type=int, default=4, help="the first is dense; the model has 28")
    arguments = parser.parse_args()
    print_host()
    work, layers, pictures = arguments.directory, arguments.layers, arguments.directory / "pictures"
    write_pictures(pictures)
    small, deep, wide = work / "small", work / "deep", work / "wide"
    write_source(small, arguments.experts, layers)
    whole = quantize(small, work / "whole", pictures)
    show(f"{layers} layers", small, whole)
    killed_and_resumed(small, work, pictures, work / "whole", layers)
    shutil.rmtree(work / "resumed")
    per_second = routed_weights(small) / whole.seconds
    print(f"{per_second / 1e6:.2f} M routed weights a second, calibration and all else included")
    for title, source, experts, depth in (
        ("3 times as deep", deep, arguments.experts, 3 * layers),
        ("1 sparse layer with all experts", wide, ALL_EXPERTS, 2),
    ):
        write_source(source, experts, depth)
        show(f"{title}, no search", source, without_search(source, work / f"{source.name}-2-bit", pictures))


if __name__ == "__main__":
    if sys.argv[1:2] == [WITHOUT_SEARCH]:
        compress_without_search(*map(Path, sys.argv[2:]))
    else:
        main()
