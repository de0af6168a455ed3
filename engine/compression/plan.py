"""What a compressed checkpoint will hold: its shards, and the format of each weight in them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.formats import Format, parts_of
from engine.checkpoint.names import Piece, stack_name
from engine.checkpoint.tensors import StoredTensors
from engine.errors import CheckpointInvalid
from engine.format import layout
from engine.format.code import check_shape
from engine.model.loading import check, is_router, placed
from engine.model.network import ErnieVL
from engine.quant.groups import fits_groups
from engine.quant.rotation import check_rows

EMBEDDING = "model.embed_tokens.weight"
GATE_UP, DOWN = "gate_up", "down"
EXPERTS = re.compile(r"decoder\.layers\.(\d+)\.mlp\.(text|vision)\.(gate_up|down)")
LAYER = re.compile(r"model\.layers\.(\d+)\.")
PART_WEIGHTS = 32_000_000
"""Weights that are encoded together and saved as one part: what a kill can cost, and what is in memory."""


@dataclass(frozen=True)
class Options:
    """The code's window in bits, and how many bits a weight takes that is not a routed expert's."""

    window_bits: int = layout.WINDOW_BITS[0]
    bits_elsewhere: int = 8

    def __post_init__(self) -> None:
        """Raise CheckpointInvalid for a number there is no format for."""
        for name, value, known in (
            ("window_bits (L)", self.window_bits, layout.WINDOW_BITS),
            ("bits_elsewhere", self.bits_elsewhere, (4, 8)),
        ):
            if value not in known:
                raise CheckpointInvalid(f"{name} is {value}", f"choose one of {', '.join(map(str, known))}")


@dataclass(frozen=True)
class Stack:
    """The gate and up, or the down projections of all experts of a layer and modality."""

    name: str
    layer: int
    modality: str
    projection: str
    shape: tuple[int, int, int]
    pieces: tuple[Piece, ...]

    @property
    def weights(self) -> int:
        """Weights of all experts."""
        return prod(self.shape)

    @property
    def parts(self) -> list[range]:
        """The experts, in portions that are encoded together."""
        count, *matrix = self.shape
        some = max(1, PART_WEIGHTS // prod(matrix))
        return [range(first, min(first + some, count)) for first in range(0, count, some)]


@dataclass(frozen=True)
class Shard:
    """One file of the result: single weights by name with format and shape, and stacks of experts."""

    file: str
    layer: int | None
    weights: dict[str, tuple[Format, tuple[int, ...]]]
    stacks: tuple[Stack, ...]


@dataclass(frozen=True)
class Plan:
    """All shards in the order in which they are written: first what is outside the layers."""

    config: ModelConfig
    shards: tuple[Shard, ...]

    @property
    def formats(self) -> dict[str, Format]:
        """The format of each weight that is not plain."""
        single = {name: kind for shard in self.shards for name, (kind, _) in shard.weights.items()}
        stacks = {stack.name: Format.TWO_BIT for shard in self.shards for stack in shard.stacks}
        return {name: kind for name, kind in sorted((single | stacks).items()) if kind is not Format.PLAIN}

    @property
    def bytes(self) -> int:
        """Size of all weights of the result; plain ones, typed by the source, count 4 bytes each."""
        single = [(kind, shape) for shard in self.shards for kind, shape in shard.weights.values()]
        stacks = [(Format.TWO_BIT, stack.shape) for shard in self.shards for stack in shard.stacks]
        return sum(
            prod(part.shape) * (part.dtype or torch.float32).itemsize
            for kind, shape in (*single, *stacks)
            for part in parts_of(kind, shape).values()
        )

    @property
    def routed_weights(self) -> int:
        """How many weights will be encoded in 2 bits."""
        return sum(stack.weights for shard in self.shards for stack in shard.stacks)


def make_plan(source: StoredTensors, config: ModelConfig, options: Options) -> Plan:
    """Lay out the result for a source checkpoint.

    CheckpointInvalid where the source's tensors do not fit its configuration, where it is in 2 bits already,
    or where its experts do not fit the code.
    """
    if Format.TWO_BIT in source.manifest.formats.values():
        raise CheckpointInvalid("the source is in 2 bits already", "give the checkpoint it was made from")
    with torch.device("meta"):
        network = ErnieVL(config)
    pieces = placed(network, source.manifest)
    check(source, pieces, config)
    stacks = [stack for name, parts in pieces.items() if (stack := _stack(name, parts, network)) is not None]
    names = {
        piece.key: piece.shape for name, parts in pieces.items() if not EXPERTS.match(name) for piece in parts
    }
    layers = [None, *range(config.text.num_layers)]
    total = len(layers)
    return Plan(
        config,
        tuple(
            Shard(
                f"model-{number:05}-of-{total:05}.safetensors",
                layer,
                {
                    name: (_format(name, names[name], options), names[name])
                    for name in _of_layer(names, layer)
                },
                tuple(stack for stack in stacks if stack.layer == layer),
            )
            for number, layer in enumerate(layers, 1)
        ),
    )


def _stack(name: str, pieces: Sequence[Piece], network: ErnieVL) -> Stack | None:
    found = EXPERTS.match(name)
    if found is None:
        return None
    count, channels, rows = network.get_parameter(name).shape
    try:
        check_shape(channels, rows)
        check_rows(rows)
    except ValueError as misfit:
        raise CheckpointInvalid(
            f"{stack_name(name)}: {misfit}", "only such a model can be quantized"
        ) from misfit
    layer, modality, projection = found.groups()
    return Stack(stack_name(name), int(layer), modality, projection, (count, channels, rows), tuple(pieces))


def _of_layer(names: dict[str, tuple[int, ...]], layer: int | None) -> list[str]:
    """The weights of a layer, or those of none."""
    chosen = []
    for name in sorted(names):
        found = LAYER.match(name)
        if (int(found[1]) if found else None) == layer:
            chosen.append(name)
    return chosen


def _format(name: str, shape: tuple[int, ...], options: Options) -> Format:
    if len(shape) != 2 or is_router(name):
        return Format.PLAIN
    # A token's embedding is looked up and not summed over, so that nothing averages its errors out.
    if options.bits_elsewhere == 4 and fits_groups(shape) and name != EMBEDDING:
        return Format.GROUPS4
    return Format.ROWS8
