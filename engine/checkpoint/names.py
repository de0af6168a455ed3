"""Where each parameter of the network stands in a checkpoint of the released layout.

A parameter of ours may be put together from several stored tensors (the experts are stored one by one), and a
stored tensor may serve two parameters (both rows of the router bias).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from engine.checkpoint.config import ModelConfig, TextConfig

Place = tuple[int | slice, ...]


@dataclass(frozen=True)
class Piece:
    """One stored tensor, `key`, of `shape`; its `rows` (after transposing) fill `place` of a parameter."""

    key: str
    shape: tuple[int, ...]
    place: Place = ()
    transposed: bool = False
    row: int | None = None

    @property
    def expert(self) -> int:
        """Which expert of a stack the piece belongs to; only stacks have pieces with a place."""
        number = self.place[0]
        assert isinstance(number, int), f"{self.key} is not of a stack"
        return number

    def of(self, stored: Tensor) -> Tensor:
        """The part of the stored tensor that belongs to the parameter."""
        if self.row is not None:
            return stored[self.row]
        return stored.T if self.transposed else stored


def pieces_of(parameter: str, shape: tuple[int, ...], config: ModelConfig) -> list[Piece]:
    """The stored tensors that make up a parameter of `ErnieVL`, named as in `named_parameters()`."""
    owner, _, rest = parameter.partition(".")
    if owner == "vision_model":
        return [Piece(f"vision_model.{rest.replace('patch_embed.', 'patch_embed.proj.')}", shape)]
    if owner == "lm_head":
        return [Piece(parameter, shape)]
    if owner == "resampler_model":
        return [Piece(f"model.{parameter}", shape)]
    layer, _, inside = rest.partition(".mlp.")
    modality, _, part = inside.partition(".")
    if modality == "text":
        return list(_expert_pieces(f"model.{layer}.mlp", part, 0, config.text, config.text.text_expert_size))
    if modality == "vision":
        return list(
            _expert_pieces(f"model.{layer}.mlp", part, 1, config.text, config.text.vision_expert_size)
        )
    return [Piece(f"model.{rest.replace('.mlp.shared.', '.mlp.shared_experts.')}", shape)]


def stack_name(parameter: str) -> str:
    """What a parameter is called in our own layout where it is stored whole, as the experts in 2 bits are."""
    return parameter.replace("decoder.", "model.", 1)


def _expert_pieces(prefix: str, part: str, modality: int, text: TextConfig, size: int) -> Iterator[Piece]:
    hidden, count = text.hidden_size, text.num_experts
    if part == "router.weight":
        key = f"{prefix}.gate.weight" if modality == 0 else f"{prefix}.gate.weight_1"
        yield Piece(key, (hidden, count), transposed=True)
    elif part == "router.bias":
        yield Piece(f"{prefix}.moe_statics.e_score_correction_bias", (2, count), row=modality)
    for expert in range(count):
        stored = f"{prefix}.experts.{modality * count + expert}"
        if part == "gate_up":
            yield Piece(f"{stored}.gate_proj.weight", (size, hidden), (expert, slice(0, size)))
            yield Piece(f"{stored}.up_proj.weight", (size, hidden), (expert, slice(size, 2 * size)))
        elif part == "down":
            yield Piece(f"{stored}.down_proj.weight", (hidden, size), (expert,))
