"""Puts the compressed weights of a checkpoint in the place of a network's layers."""

from torch import nn

from engine.checkpoint.formats import GROUP_SCALE, ROW_SCALE, Format, Parts
from engine.model.compressed import CompressedEmbedding, CompressedLinear, GroupsLinear, RowsLinear
from engine.model.experts import Experts
from engine.model.two_bit import TwoBitExperts


def place(network: nn.Module, name: str, kind: Format, parts: Parts, window_bits: int) -> None:
    """Put the parts of the weight that the parameter `name` stands for in the place of its layer.

    The layer's other parameters stay as they are, to be filled by their names.
    """
    path, _, leaf = name.rpartition(".")
    layer = network.get_submodule(path)
    if kind is Format.TWO_BIT:
        if not isinstance(layer, TwoBitExperts):
            assert isinstance(layer, Experts), f"{name} belongs to no experts"
            layer = TwoBitExperts(layer.router, window_bits)
        layer.place(leaf, parts)
    elif isinstance(layer, nn.Embedding):
        layer = CompressedEmbedding(_linear(kind, parts, layer.num_embeddings, None))
    else:
        assert isinstance(layer, nn.Linear), f"{name} belongs to no linear layer"
        layer = _linear(kind, parts, layer.out_features, layer.bias)
    network.set_submodule(path, layer)


def _linear(kind: Format, parts: Parts, channels: int, bias: nn.Parameter | None) -> CompressedLinear:
    if kind is Format.ROWS8:
        return RowsLinear(parts[""], parts[ROW_SCALE], channels, bias)
    assert kind is Format.GROUPS4, f"a layer cannot compute with {kind}"
    return GroupsLinear(parts[""], parts[GROUP_SCALE], channels, bias)
