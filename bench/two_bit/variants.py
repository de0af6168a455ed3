"""Checkpoints whose routed experts went through a 2-bit method, to be asked side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copyfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.two_bit.peers import Keep, Method
from engine import Image, Prompt
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.tensors import MANIFEST, StoredTensors
from engine.compression import Example
from engine.compression.calibration import Encode, Walk, encode_examples
from engine.compression.plan import Options, Plan, Stack, make_plan
from engine.quant.hessian import Moments, common, shrunk
from starter.mixture import Mixture
from starter.pictures.targets import diagnose_text, inspect_text, reasoning, report_json

CALIBRATION_SEED = 77
REPORT_EVERY = 4


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


@dataclass(frozen=True)
class Original:
    """The checkpoint that all variants come from, and what they are calibrated with."""

    source: Path
    plan: Plan
    examples: Sequence[Example]

    @staticmethod
    def read(source: Path, examples: Sequence[Example]) -> "Original":
        """Lay out a checkpoint; it may be stored in 8 bits."""
        config = ModelConfig.from_json(read_json(source / "config.json"))
        return Original(source, make_plan(StoredTensors(source), config, Options()), examples)

    @property
    def stacks(self) -> Mapping[tuple[int, str, str], Stack]:
        """The routed experts, by layer, modality and projection."""
        stacks = [stack for shard in self.plan.shards for stack in shard.stacks]
        return {(stack.layer, stack.modality, stack.projection): stack for stack in stacks}

    def bits(self, method: Method) -> float:
        """Bits of a routed weight, all in, on the mean."""
        stacks = self.stacks.values()
        bits = sum(stack.weights * method.bits(stack.shape[2]) for stack in stacks)
        return bits / self.plan.routed_weights

    def write(self, target: Path, keep: Keep) -> None:
        """A plain checkpoint whose routed experts went through a method, layer by layer as ours do.

        Everything else keeps the values it had, and all is computed in fp32: what differs is the weights.
        """
        stored = StoredTensors(self.source)
        tensors = {
            name: stored.read(name, shape).float().contiguous()
            for shard in self.plan.shards
            for name, (_, shape) in shard.weights.items()
        }
        walk = Walk(self.plan.config, encode_examples(self.source, self.plan.config, self.examples))
        kept = partial(_encoder, self.stacks, stored, tensors, keep)

        def value_of(name: str, _: tuple[int, ...]) -> Tensor:
            return tensors[name]

        walk.enter(value_of)
        for layer in range(self.plan.config.text.num_layers):
            walk.through(layer, value_of, partial(kept, layer))
        target.mkdir()
        for path in self.source.glob("*.json"):
            if path.name != MANIFEST:
                copyfile(path, target / path.name)
        save_file(tensors, target / "model.safetensors")


def _encoder(
    stacks: Mapping[tuple[int, str, str], Stack],
    stored: StoredTensors,
    tensors: dict[str, Tensor],
    keep: Keep,
    layer: int,
    modality: str,
) -> Encode:
    """Puts the experts of a layer through a method, and into `tensors`."""

    def encode(projection: str, inputs: Sequence[Moments]) -> Callable[[int], Tensor]:
        stack, towards = stacks[layer, modality, projection], common(inputs)
        weights = torch.empty(stack.shape)
        for piece in stack.pieces:
            weights[piece.place] = stored.read(piece.key, piece.shape)
        kept = keep(weights, towards[None] if len(inputs) == 1 else shrunk(inputs, towards))
        tensors.update({piece.key: kept[piece.place].clone() for piece in stack.pieces})
        return lambda expert: kept[expert]

    return encode
