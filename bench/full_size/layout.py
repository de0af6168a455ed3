"""Writes a checkpoint with random codes, every byte a valid one; by default of the 28B model's shape."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.formats import Format, Part, parts_of
from engine.checkpoint.names import Piece, stack_name
from engine.checkpoint.tensors import INDEX, MANIFEST, MANIFEST_VERSION, Manifest
from engine.format import layout
from engine.model.loading import is_router, placed
from engine.model.network import ErnieVL
from engine.quant.groups import fits_groups

CONFIG: Mapping[str, Any] = {
    "vocab_size": 103424,
    "hidden_size": 2560,
    "intermediate_size": 12288,
    "num_hidden_layers": 28,
    "num_attention_heads": 20,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "freq_allocation": 20,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "moe_num_experts": [64, 64],
    "moe_intermediate_size": [1536, 512],
    "moe_k": 6,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": [1, 1],
    "moe_layer_end_index": [29, 28],
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "num_heads": 16,
        "mlp_ratio": 4,
        "patch_size": 14,
        "in_channels": 3,
        "spatial_merge_size": 2,
        "temporal_merge_size": 2,
    },
}
"""ERNIE-4.5-VL-28B-A3B, as its configuration gives it."""

WINDOW_BITS = 16
EMBEDDING = "model.embed_tokens.weight"
SPREAD = {Format.TWO_BIT: layout.SPREAD, Format.ROWS8: 73.6, Format.GROUPS4: 4.6}
"""Standard deviations of random codes."""


def write(directory: Path, config: Mapping[str, Any] = CONFIG) -> None:
    """Write config.json, lynceus.json and one shard a layer; about 9 GB for the 28B model."""
    directory.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        network = ErnieVL(ModelConfig.from_json(config))
    manifest = Manifest(formats_of(network), WINDOW_BITS)
    shards: dict[str, list[Piece]] = {}
    for name, pieces in placed(network, manifest).items():
        layer = name.split(".")[2] if name.startswith("decoder.layers.") else "rest"
        shards.setdefault(f"model-{layer}.safetensors", []).extend(pieces)
    rng = np.random.default_rng(0)
    places: dict[str, str] = {}
    for file, pieces in shards.items():
        tensors = _tensors(pieces, manifest, rng)
        save_file(tensors, directory / file)
        places |= dict.fromkeys(tensors, file)
    (directory / INDEX).write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    identity = {"version": MANIFEST_VERSION, "code_version": layout.VERSION, "window_bits": WINDOW_BITS}
    (directory / MANIFEST).write_text(json.dumps({**identity, "formats": manifest.formats}), encoding="utf-8")


def formats_of(network: ErnieVL) -> dict[str, Format]:
    """What `lynceus quantize --bits-elsewhere 4` chooses."""
    formats: dict[str, Format] = {}
    for name, pieces in placed(network, Manifest()).items():
        if name.endswith((".gate_up", ".down")):
            formats[stack_name(name)] = Format.TWO_BIT
            continue
        for piece in pieces:
            if len(piece.shape) == 2 and not is_router(piece.key):
                four = fits_groups(piece.shape) and piece.key != EMBEDDING
                formats[piece.key] = Format.GROUPS4 if four else Format.ROWS8
    return formats


def _tensors(pieces: list[Piece], manifest: Manifest, rng: np.random.Generator) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for piece in pieces:
        kind = manifest.formats.get(piece.key, Format.PLAIN)
        for suffix, part in parts_of(kind, piece.shape).items():
            key = piece.key + suffix
            tensors[key] = _plain(piece, rng) if kind is Format.PLAIN else _random(kind, piece, part, rng)
    return tensors


def _plain(piece: Piece, rng: np.random.Generator) -> Tensor:
    if is_router(piece.key):
        return torch.from_numpy(rng.standard_normal(piece.shape).astype(np.float32)) * 0.02
    return torch.full(piece.shape, 0.0 if piece.key.endswith("bias") else 1.0)


def _random(kind: Format, piece: Piece, part: Part, rng: np.random.Generator) -> Tensor:
    """Random bytes as codes; scales that keep a product as large as its input."""
    assert part.dtype is not None, f"{piece.key} is not compressed"
    if part.dtype.is_floating_point:
        return torch.full(part.shape, piece.shape[-1] ** -0.5 / SPREAD[kind], dtype=part.dtype)
    if kind is Format.TWO_BIT and part.dtype is torch.int8:
        return torch.from_numpy(rng.choice(np.array([-1, 1], np.int8), part.shape))
    count = int(np.prod(part.shape))
    words = rng.integers(0, 2**64, -(-count // 8), dtype=np.uint64)
    return torch.from_numpy(words.view(np.uint8)[:count].reshape(part.shape)).view(part.dtype)
