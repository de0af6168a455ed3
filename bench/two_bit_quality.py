"""What two bits cost the starter: agreement with its fp32 self, accuracy, divergence, beside other methods.

    python -m bench.two_bit_quality PICTURES [--checkpoint models/starter] [--calibration 256] [--L 16]

PICTURES holds mcbt, deeppcb and bsdata. Calibration pictures are of the training split. The other
methods get the same Hessians and more bits (2.28 a weight); all but their routed experts stays in fp32.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.host import print_host
from bench.two_bit_peers import gptq, nearest
from engine import Engine, EngineConfig, Image, Prompt
from engine.compression import Example, Options, compress
from engine.compression.calibration import Encode, Walk, encode_examples
from engine.compression.plan import Plan, make_plan
from engine.model.config import ModelConfig
from engine.model.tensors import StoredTensors, read_json
from engine.quant.hessian import Moments, common, shrunk
from engine.training.datasets import read_metal
from engine.training.evaluate import HELD_OUT_SURFACES
from engine.training.mixture import Mixture
from engine.training.samples import Sample
from engine.training.surfaces import held_out
from engine.training.targets import diagnose_text, inspect_text, reasoning, report_json

CALIBRATION_SEED = 77
REPORT_EVERY = 4

Peer = Callable[[Tensor, Tensor], Tensor]
"""A method: weight `[N, K]` and Hessian `[K, K]` to the weight it keeps."""


@dataclass(frozen=True)
class Figures:
    """How a variant answers, compared with the fp32 model and with the truth."""

    agreement: float
    accuracy: float
    divergence: float
    """Mean Kullback-Leibler divergence of its class distribution from that of fp32, in nats."""


def calibration(root: Path, count: int) -> list[Example]:
    """Training pictures with their answers; every fourth with its report."""
    mixture, rng, examples = Mixture.read(root), np.random.default_rng(CALIBRATION_SEED), []
    for number in range(count):
        sample, _ = mixture.draw(rng)
        thinking = number % REPORT_EVERY == 0
        text = (diagnose_text if thinking else inspect_text)(sample.part, sample.classes)
        said = f"\n{reasoning(sample)}\n</think>\n\n{report_json(sample)}" if thinking else sample.label
        examples.append(Example(Prompt((text, Image(sample.pixels))), thinking, said))
    return examples


def distributions(checkpoint: Path, samples: Sequence[Sample]) -> list[Tensor]:
    """Log-probabilities of the classes of each sample, normalised over them."""
    with Engine(EngineConfig(checkpoint, device="cpu")) as engine:
        waiting = [
            engine.score(Prompt((inspect_text(s.part, s.classes), Image(s.pixels))), s.classes)
            for s in samples
        ]
        return [torch.tensor(future.result().log_probabilities).log_softmax(0) for future in waiting]


def figures(samples: Sequence[Sample], reference: list[Tensor], found: list[Tensor]) -> Figures:
    """Compare class distributions with those of the reference."""
    pairs = list(zip(reference, found, strict=True))
    same = sum(int(p.argmax() == q.argmax()) for p, q in pairs)
    right = sum(s.classes[int(q.argmax())] == s.label for s, q in zip(samples, found, strict=True))
    divergence = sum(float((p.exp() * (p - q)).sum()) for p, q in pairs)
    return Figures(same / len(pairs), right / len(pairs), divergence / len(pairs))


def write_peer(source: Path, target: Path, plan: Plan, examples: list[Example], peer: Peer) -> None:
    """A plain checkpoint whose routed experts went through another method, layer by layer as ours do."""
    stored = StoredTensors(source)
    walk = Walk(plan.config, encode_examples(source, plan.config, examples))
    tensors = {
        name: stored.read(name, shape).float().contiguous()
        for shard in plan.shards
        for name, (_, shape) in shard.weights.items()
    }

    def value_of(name: str, _: tuple[int, ...]) -> Tensor:
        return tensors[name]

    def encode(layer: int, modality: str) -> Encode:
        def keep(projection: str, inputs: Sequence[Moments]) -> Callable[[int], Tensor]:
            (stack,) = (
                each
                for shard in plan.shards
                for each in shard.stacks
                if (each.layer, each.modality, each.projection) == (layer, modality, projection)
            )
            towards = common(inputs)
            hessians = [towards] * stack.shape[0] if len(inputs) == 1 else list(shrunk(inputs, towards))
            weights = torch.empty(stack.shape)
            for piece in stack.pieces:
                kept = peer(stored.read(piece.key, piece.shape).float(), hessians[piece.expert])
                weights[piece.place] = tensors[piece.key] = kept
            return lambda expert: weights[expert]

        return keep

    walk.enter(value_of)
    for layer in range(plan.config.text.num_layers):
        walk.through(layer, value_of, partial(encode, layer))
    target.mkdir()
    for path in source.glob("*.json"):
        if path.name != "lynceus.json":
            copyfile(path, target / path.name)
    save_file(tensors, target / "model.safetensors")


def variants(source: Path, work: Path, examples: list[Example], window_bits: int) -> dict[str, Path]:
    """All checkpoints to compare, by what they are."""
    plan = make_plan(
        StoredTensors(source), ModelConfig.from_json(read_json(source / "config.json")), Options()
    )
    made = {name: work / name.replace(" ", "-") for name in ("fp32", "nearest", "gptq", "ours", "ours blind")}
    write_peer(source, made["fp32"], plan, examples, lambda weight, _: weight)
    write_peer(source, made["nearest"], plan, examples, lambda weight, _: nearest(weight))
    write_peer(source, made["gptq"], plan, examples, gptq)
    compress(source, made["ours"], Options(window_bits), examples, lambda _: None)
    compress(source, made["ours blind"], Options(window_bits), (), lambda _: None)
    return made


def main() -> None:
    """Print a table, and JSON with all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=Path("models/starter"))
    parser.add_argument("--calibration", type=int, default=256, help="training pictures")
    parser.add_argument("--surfaces", type=int, default=HELD_OUT_SURFACES, help="held-out synthetic pictures")
    parser.add_argument("--L", type=int, default=16, dest="window_bits")
    arguments = parser.parse_args()
    print_host()
    sets = {"metal": read_metal(arguments.pictures).test, "surface": tuple(held_out(arguments.surfaces))}
    examples = calibration(arguments.pictures, arguments.calibration)
    with tempfile.TemporaryDirectory() as work:
        made = variants(arguments.checkpoint, Path(work), examples, arguments.window_bits)
        everything = {
            name: {kind: distributions(path, samples) for kind, samples in sets.items()}
            for name, path in made.items()
        }
    results = {
        name: {kind: figures(sets[kind], everything["fp32"][kind], found) for kind, found in by_kind.items()}
        for name, by_kind in everything.items()
    }
    print(f"{'':12}" + "".join(f"{kind:>34}" for kind in sets))
    print(f"{'':12}" + f"{'agreement':>12}{'accuracy':>11}{'KL':>11}" * len(sets))
    for name, by_kind in results.items():
        cells = (f"{f.agreement:12.1%}{f.accuracy:11.1%}{f.divergence:11.4f}" for f in by_kind.values())
        print(f"{name:12}" + "".join(cells))
    print(json.dumps({name: {kind: asdict(f) for kind, f in by.items()} for name, by in results.items()}))


if __name__ == "__main__":
    main()
