"""Compresses a checkpoint shard by shard; what is finished is never done again."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.formats import CODES, SCALES, SIGNS, SUFFIXES, decoded, encoded
from engine.checkpoint.tensors import INDEX, MANIFEST, MANIFEST_VERSION, StoredTensors, digest_of
from engine.compression.calibration import (
    Encode,
    Example,
    Walk,
    WeightOf,
    digest_of_examples,
    encode_examples,
)
from engine.compression.plan import Options, Plan, Shard, Stack, make_plan
from engine.compression.progress import Counter, OnProgress
from engine.compression.report import REPORT, Totals, as_json, row_of, rows_of, totals_of
from engine.compression.workshop import Rows, Workshop, expect_space
from engine.errors import CheckpointInvalid
from engine.format import layout
from engine.quant.hessian import Moments, common, shrunk
from engine.quant.quantizer import TwoBitStack, quantize_stack
from engine.quant.rotation import random_signs

STATES = "states"
"""Files of hidden states: those at the entry of the next layer."""

PART = "part"
"""Files of experts encoded together, until their shard is whole."""


def compress(
    source: Path, target: Path, options: Options, examples: Sequence[Example], on_progress: OnProgress
) -> Totals:
    """Write the compressed checkpoint `target`, and in it a report on every tensor of the source.

    Without examples all inputs count alike. The same command after a kill goes on, and gives the same bytes.
    Raises CheckpointInvalid for a source that cannot be compressed, CheckpointUnwritten where the target
    cannot be written.
    """
    config = ModelConfig.from_json(read_json(source / "config.json"))
    plan = make_plan(StoredTensors(source), config, options)
    expect_space(target, plan.bytes)
    counter = Counter(plan.routed_weights, on_progress)
    counter.begin("reading the source")
    sequences = encode_examples(source, config, examples)
    identity = {
        "code_version": layout.VERSION,
        "window_bits": options.window_bits,
        "bits_elsewhere": options.bits_elsewhere,
        "source_digest": digest_of(source),
        "calibration": {
            "examples": len(sequences),
            "tokens": sum(sequence.length for sequence in sequences),
            "digest": digest_of_examples(sequences),
        },
    }
    workshop = Workshop(target, identity)
    walk = Walk(config, sequences) if sequences else None
    for shard in plan.shards:
        _Shop(source, options, shard, workshop, walk, counter).make()
    rows = _finish(source, plan, workshop, identity)
    return totals_of(rows)


def _finish(source: Path, plan: Plan, workshop: Workshop, identity: dict[str, Any]) -> Rows:
    rows: Rows = {}
    places: dict[str, str] = {}
    for shard in plan.shards:
        rows |= workshop.rows(shard.file)
        places |= dict.fromkeys(workshop.keys(shard.file), shard.file)
    workshop.drop(f"{STATES}.*")
    manifest = {"version": MANIFEST_VERSION, **identity, "formats": plan.formats}
    index = {"metadata": {"total_bits": sum(row["bits"] for row in rows.values())}, "weight_map": places}
    workshop.finish(
        source,
        {MANIFEST: manifest, INDEX: index, REPORT: as_json(identity, rows)},
    )
    return rows


class _Shop:
    """Makes one shard."""

    def __init__(
        self,
        source: Path,
        options: Options,
        shard: Shard,
        workshop: Workshop,
        walk: Walk | None,
        counter: Counter,
    ) -> None:
        self._options, self._shard, self._workshop = options, shard, workshop
        self._walk, self._counter = walk, counter
        # Opened anew for each shard, so that the pages of the last one leave memory.
        self._source = StoredTensors(source)
        self._kept: dict[str, Tensor] = {}
        self._rows: Rows = {}

    def make(self) -> None:
        """Write the shard unless it is there, and leave the walk at the entry of the next layer."""
        shard, workshop = self._shard, self._workshop
        after = 0 if shard.layer is None else shard.layer + 1
        if workshop.has(shard.file):
            self._counter.add(sum(stack.weights for stack in shard.stacks))
            self._recall(after)
            return
        self._counter.begin("embedding and vision" if shard.layer is None else f"layer {shard.layer}")
        for name in shard.weights:
            self._keep(name)
        if self._walk is None:
            for stack in shard.stacks:
                self._encode(stack, ())
        else:
            self._advance(self._walk)
            workshop.save(_states(after), {STATES: self._walk.states}, {})
        workshop.save(shard.file, self._kept, self._rows)
        workshop.drop(_states(after - 1))
        workshop.drop(f"{PART}.*")

    def _recall(self, layer: int) -> None:
        if self._walk is not None and self._workshop.has(_states(layer)):
            self._walk.states = self._workshop.tensors(_states(layer))[STATES]

    def _keep(self, name: str) -> None:
        """Convert a weight by itself."""
        kind, shape = self._shard.weights[name]
        weight = self._read(name, shape)
        parts = encoded(kind, weight)
        self._kept |= {name + suffix: part for suffix, part in parts.items()}
        self._rows[name] = row_of(kind, weight, parts, self._decoded(name, shape))

    def _read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        weight = self._source.read(name, shape)
        if not torch.isfinite(weight).all():
            raise CheckpointInvalid(
                f"{name} holds values that are not finite",
                "copy the source again; its digest tells copies apart",
            )
        return weight

    def _decoded(self, name: str, shape: tuple[int, ...]) -> Tensor:
        kind, _ = self._shard.weights[name]
        parts = {suffix: self._kept[name + suffix] for suffix in SUFFIXES[kind]}
        return decoded(kind, parts, shape[0], self._options.window_bits)

    def _advance(self, walk: Walk) -> None:
        layer = self._shard.layer
        if layer is None:
            walk.enter(self._decoded)
            return
        stacks = {(stack.modality, stack.projection): stack for stack in self._shard.stacks}

        def of(modality: str) -> Encode:
            return lambda projection, inputs: self._encode(stacks[modality, projection], inputs)

        walk.through(layer, self._decoded, of)

    def _encode(self, stack: Stack, inputs: Sequence[Moments]) -> WeightOf:
        """Encode a stack portion by portion; without inputs all count alike."""
        signs = random_signs(stack.shape[2], zlib.crc32(stack.name.encode()))
        towards = common(inputs) if inputs else None
        found: list[dict[str, Tensor]] = []
        for part in stack.parts:
            file = f"{PART}.{stack.name}.{part.start}"
            if self._workshop.has(file):
                self._counter.add(stack.weights * len(part) // stack.shape[0])
            else:
                hessians = None if towards is None else _hessians(inputs, towards, part)
                self._encode_part(file, stack, part, hessians, signs)
            found.append(self._workshop.tensors(file))
            self._rows |= self._workshop.rows(file)
        codes, scales = (torch.cat([each[name] for each in found]) for name in (CODES, SCALES))
        self._kept |= {stack.name + CODES: codes, stack.name + SCALES: scales, stack.name + SIGNS: signs}
        kept = TwoBitStack(codes, scales, signs, self._options.window_bits)
        return lambda expert: kept[expert].dequantized()

    def _encode_part(
        self, file: str, stack: Stack, part: range, hessians: Tensor | None, signs: Tensor
    ) -> None:
        weights = torch.empty(len(part), *stack.shape[1:])
        for piece in stack.pieces:
            if piece.expert in part:
                weights[(part.index(piece.expert), *piece.place[1:])] = piece.of(
                    self._read(piece.key, piece.shape)
                )
        kept, losses = quantize_stack(weights, hessians, signs, self._options.window_bits, self._counter.add)
        rows = rows_of(stack, part, kept, losses, calibrated=hessians is not None)
        self._workshop.save(file, {CODES: kept.codes, SCALES: kept.scales}, rows)


def _hessians(inputs: Sequence[Moments], towards: Tensor, part: range) -> Tensor:
    """Of the experts of a portion `[e, K, K]`, or `[1, K, K]` where all have the same inputs."""
    if len(inputs) == 1:
        return towards[None]
    return shrunk([inputs[expert] for expert in part], towards)


def _states(layer: int) -> str:
    return f"{STATES}.{layer}"
