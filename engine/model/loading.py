"""Loads and saves whole networks, strictly: nothing missing, nothing left over, nothing of another shape."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.formats import Format
from engine.checkpoint.names import Piece, pieces_of, stack_name
from engine.checkpoint.tensors import LISTED, Manifest, StoredTensors
from engine.errors import CheckpointInvalid
from engine.model.mixture import fuse
from engine.model.network import ErnieVL
from engine.model.placement import place
from engine.process import bring_in

Progress = Callable[[int, int], None]
"""Told after each parameter how many elements of how many are loaded."""

TIED_HEAD = "lm_head.weight"


def load(
    path: Path | str, dtype: torch.dtype, device: torch.device | str, progress: Progress | None = None
) -> ErnieVL:
    """Read a checkpoint of either layout into a network ready for inference.

    Parameters are allocated and filled one by one, so the peak is the weights plus one tensor; compressed
    weights stay in the mapped file. The routers stay in fp32. CheckpointInvalid lists every missing, surplus
    and misshapen tensor.
    """
    directory = Path(path)
    config = ModelConfig.from_json(read_json(directory / "config.json"))
    stored = StoredTensors(directory)
    network, plan = fitted(stored, config)
    done = 0
    for name, parameter in list(network.named_parameters()):
        kind = torch.float32 if ".router." in name else dtype
        if (whole := _whole(plan[name], stored)) is not None:
            parts = {
                suffix: _moved(part, device) for suffix, part in stored.parts(whole.key, whole.shape).items()
            }
            place(network, name, stored.format_of(whole.key), parts, stored.manifest.window_bits)
        else:
            _replace(network, name, _filled(plan[name], tuple(parameter.shape), stored, kind, device))
        done += parameter.numel()
        if progress is not None:
            progress(done, network.weight_count)
    fuse(network)
    return network.eval()


def outline(config: ModelConfig) -> ErnieVL:
    """The network without memory for its parameters."""
    with torch.device("meta"):
        return ErnieVL(config)


def fitted(stored: StoredTensors, config: ModelConfig) -> tuple[ErnieVL, dict[str, list[Piece]]]:
    """The outline of the network, and the stored weights of each parameter; CheckpointInvalid as `load`."""
    network = outline(config)
    plan = placed(network, stored.manifest)
    check(stored, plan, config)
    return network, plan


def _moved(part: Tensor, device: torch.device | str) -> Tensor:
    moved = part.to(device)
    if moved.device.type == "cpu":
        bring_in(moved)
    return moved


def _whole(pieces: Sequence[Piece], stored: StoredTensors) -> Piece | None:
    """The stored weight that is the whole parameter and compressed: its layer computes with the codes."""
    if len(pieces) > 1 or pieces[0].place or stored.format_of(pieces[0].key) is Format.PLAIN:
        return None
    return pieces[0]


def _filled(
    pieces: Sequence[Piece],
    shape: tuple[int, ...],
    stored: StoredTensors,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    filled = torch.empty(shape, dtype=dtype, device=device)
    for piece in pieces:
        filled[piece.place] = piece.of(stored.read(piece.key, piece.shape)).to(dtype)
    return filled


def released_tensors(network: ErnieVL) -> dict[str, Tensor]:
    """The network's weights under their released names, in the shapes of the released layout."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        values = parameter.detach()
        for piece in pieces_of(name, tuple(parameter.shape), network.config):
            if piece.row is not None:
                tensors.setdefault(piece.key, torch.zeros(piece.shape))[piece.row] = values
            else:
                part = values[piece.place]
                tensors[piece.key] = (part.T if piece.transposed else part).clone(
                    memory_format=torch.contiguous_format
                )
    return tensors


def save_plain(network: ErnieVL, directory: Path, dtype: torch.dtype) -> None:
    """Write `model.safetensors` in the released layout; routers stay fp32."""
    tensors = {
        name: tensor if is_router(name) else tensor.to(dtype)
        for name, tensor in released_tensors(network).items()
    }
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def is_router(name: str) -> bool:
    """Whether a stored tensor belongs to a router; routers are never compressed."""
    return ".mlp.gate.weight" in name or ".moe_statics." in name


def placed(network: ErnieVL, manifest: Manifest) -> dict[str, list[Piece]]:
    """For each parameter the stored weights that make it up, in a checkpoint with this manifest."""
    plan = {}
    for name, parameter in network.named_parameters():
        shape, stack = tuple(parameter.shape), stack_name(name)
        whole = stack in manifest.formats
        plan[name] = [Piece(stack, shape)] if whole else pieces_of(name, shape, network.config)
    return plan


def check(stored: StoredTensors, plan: Mapping[str, Sequence[Piece]], config: ModelConfig) -> None:
    """Raise CheckpointInvalid, listing them, where stored tensors are missing, surplus or misshapen."""
    expected = {piece.key: piece.shape for pieces in plan.values() for piece in pieces}
    wrong = stored.faults(expected, {TIED_HEAD} if config.text.tie_word_embeddings else set())
    if wrong:
        more = f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise CheckpointInvalid(
            f"{len(wrong)} tensors do not fit: " + "; ".join(wrong[:LISTED]) + more,
            "the weights and config.json must come from the same checkpoint",
        )


def _replace(network: nn.Module, name: str, values: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(owner), leaf, nn.Parameter(values, requires_grad=False))
