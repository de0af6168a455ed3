"""The whole network with random codes, made where it will run: no file is written or read."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.full_size.layout import CONFIG, SPREAD, formats_of
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.formats import Format, Part, parts_of
from engine.checkpoint.names import Piece
from engine.checkpoint.tensors import Manifest
from engine.model.loading import is_router, placed
from engine.model.mixture import fuse
from engine.model.network import ErnieVL
from engine.model.placement import place

TINY: Mapping[str, Any] = {
    **CONFIG,
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "im_patch_id": 500,
    "image_start_token_id": 501,
    "image_end_token_id": 502,
    "moe_num_experts": [8, 8],
    "moe_intermediate_size": [256, 128],
    "moe_k": 2,
    "moe_layer_end_index": [29, 28],
    "vision_config": {**CONFIG["vision_config"], "depth": 2, "embed_dim": 64, "num_heads": 2},
}
"""A network of the same kind, to try the program with."""


def random_network(
    config: Mapping[str, Any], window_bits: int, dtype: torch.dtype, draw: torch.Generator
) -> ErnieVL:
    """A network of that shape on the generator's device: valid random codes, products as large as inputs."""
    with torch.device("meta"):
        network = ErnieVL(ModelConfig.from_json(config))
    manifest = Manifest(formats_of(network), window_bits)
    parameters = dict(network.named_parameters())
    for name, pieces in placed(network, manifest).items():
        kind = manifest.formats.get(pieces[0].key, Format.PLAIN)
        if kind is Format.PLAIN:
            kept = torch.float32 if ".router." in name else dtype
            _set(network, name, _plain(pieces[0], tuple(parameters[name].shape), draw).to(kept))
            continue
        assert len(pieces) == 1, f"{name} is made of several compressed weights"
        parts = parts_of(kind, pieces[0].shape)
        random = {suffix: _random(kind, pieces[0], part, draw) for suffix, part in parts.items()}
        place(network, name, kind, random, window_bits)
    fuse(network)
    return network.eval()


def _plain(piece: Piece, shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    if is_router(piece.key):
        return torch.randn(shape, generator=draw, device=draw.device) * 0.02
    return torch.full(shape, 0.0 if piece.key.endswith("bias") else 1.0, device=draw.device)


def _random(kind: Format, piece: Piece, part: Part, draw: torch.Generator) -> Tensor:
    assert part.dtype is not None, f"{piece.key} is not compressed"
    if part.dtype.is_floating_point:
        size = piece.shape[-1] ** -0.5 / SPREAD[kind]
        return torch.full(part.shape, size, dtype=part.dtype, device=draw.device)
    if kind is Format.TWO_BIT and part.dtype is torch.int8:
        signs = torch.randint(0, 2, part.shape, generator=draw, device=draw.device)
        return (signs * 2 - 1).to(torch.int8)
    codes = torch.randint(0, 256, part.shape, generator=draw, dtype=torch.uint8, device=draw.device)
    return codes.view(part.dtype)


def _set(network: nn.Module, name: str, values: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(owner), leaf, nn.Parameter(values, requires_grad=False))


def weight_bytes(network: nn.Module) -> int:
    """Bytes of all parameters and codes, each once."""
    held = {each.data_ptr(): each for each in (*network.parameters(), *network.buffers())}
    return sum(each.numel() * each.element_size() for each in held.values())
