"""The layouts of other programs that differ from the released one in names alone.

A view says how a tensor of the released layout is made of stored ones: which, what of them, and whether they
are turned round. Everything that loads or quantizes asks for released names only.

I expert size, E experts of a modality, Q, K output channels of queries and of keys
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from engine.checkpoint.config import ModelConfig

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


VISION_PREFIX = "model.vision_model."


class Layout(StrEnum):
    """Whose names the tensors of a checkpoint have."""

    RELEASED = "released"
    PADDLE = "Paddle"
    IN_MEMORY = "transformers in memory"


@dataclass(frozen=True)
class View:
    """What `index` leaves of the stored tensors `keys`, one under the other, turned round if `transposed`."""

    keys: tuple[str, ...]
    index: tuple[int | slice, ...] = ()
    transposed: bool = False

    def of(self, stored: Callable[[str], Tensor]) -> Tensor:
        """The released tensor."""
        parts = [stored(key)[self.index] for key in self.keys]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.T.contiguous() if self.transposed else whole

    def shape(self, shapes: Shapes) -> Shape:
        """Its shape, from those of the stored tensors."""
        return tuple(self.of(lambda key: torch.empty(shapes[key], device="meta")).shape)


def layout_of(shapes: Shapes) -> Layout:
    """Whose names these are."""
    if any(name.startswith("ernie.") for name in shapes):
        return Layout.PADDLE
    if any(name.startswith(("model.language_model.", "model.vision_tower.")) for name in shapes):
        return Layout.IN_MEMORY
    return Layout.RELEASED


def views(shapes: Shapes, config: Callable[[], ModelConfig]) -> dict[str, View]:
    """A view for each released name that the stored tensors make; what is unknown keeps its own name."""
    match layout_of(shapes):
        case Layout.PADDLE:
            return dict(_paddle(shapes, config()))
        case Layout.IN_MEMORY:
            return dict(_in_memory(shapes))
        case Layout.RELEASED:
            return {_top_level_vision(name): View((name,)) for name in shapes}


def _top_level_vision(name: str) -> str:
    """The vision tower stands at the top of the released repositories; transformers puts it under `model`."""
    return name.removeprefix("model.") if name.startswith(VISION_PREFIX) else name


def _paddle(shapes: Shapes, config: ModelConfig) -> Iterator[tuple[str, View]]:
    """Another prefix, linear layers turned round, q|k|v and gate|up in one.

    Source: FastDeploy's list of this model's weights. A linear layer of Paddle is `[in, out]`, and so are the
    routers of the released layout.
    """
    text = config.text
    queries, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    for stored, shape in shapes.items():
        name = re.sub(r"^(?:ernie\.)?(vision_model\.)", r"\1", stored)
        name = re.sub(r"^(?:ernie\.|(?=resampler_model\.))", "model.", name)
        if ".qkv_proj." in name:
            yield from _columns(name, "qkv_proj", stored, {"q_proj": queries, "k_proj": keys, "v_proj": keys})
        elif ".up_gate_proj." in name:
            # Whatever the name says, the gate's columns stand first.
            half = shape[-1] // 2
            yield from _columns(name, "up_gate_proj", stored, {"gate_proj": half, "up_proj": half})
        else:
            turned = len(shape) == 2 and not re.search(r"embed_tokens|\.gate\.weight|moe_statics", name)
            yield name, View((stored,), transposed=turned)


def _columns(name: str, whole: str, stored: str, widths: Mapping[str, int]) -> Iterator[tuple[str, View]]:
    """The columns of a fused linear layer as layers of their own."""
    begin = 0
    for part, width in widths.items():
        columns = slice(begin, begin + width)
        yield name.replace(whole, part), View((stored,), (slice(None), columns), transposed=True)
        begin += width


RENAMED = (
    (r"^model\.language_model\.", "model."),
    (r"^model\.vision_tower\.", "vision_model."),
    (r"_linear\.fc1\.", "_linear.0."),
    (r"_linear\.fc2\.", "_linear.2."),
    (r"_linear\.ln\.", "_linear.3."),
    (r"\.text_moe\.gate\.weight$", ".gate.weight"),
    (r"\.vision_moe\.gate\.weight$", ".gate.weight_1"),
)
"""What transformers calls otherwise in memory, as its conversion mapping has it."""


def _in_memory(shapes: Shapes) -> Iterator[tuple[str, View]]:
    """Other names, routers turned round, the experts of a modality in one stack, their biases apart."""
    for stored, shape in shapes.items():
        name = stored
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        layer, _, inside = name.partition(".mlp.")
        modality, _, part = inside.partition("_moe.")
        if part == "gate.moe_statics.e_score_correction_bias":
            both = tuple(stored.replace(f"{modality}_moe", f"{each}_moe") for each in ("text", "vision"))
            yield f"{layer}.mlp.moe_statics.e_score_correction_bias", View(both)
        elif part.startswith("experts."):
            yield from _experts(f"{layer}.mlp", modality, part, stored, shape)
        else:
            yield name, View((stored,), transposed=".gate.weight" in name)


def _experts(mlp: str, modality: str, part: str, stored: str, shape: Shape) -> Iterator[tuple[str, View]]:
    """The matrices of each expert; those of the vision experts are numbered behind the text ones."""
    count, channels = shape[0], shape[1]
    for expert in range(count):
        name = f"{mlp}.experts.{expert + (count if modality == 'vision' else 0)}"
        if part == "experts.down_proj":
            yield f"{name}.down_proj.weight", View((stored,), (expert,))
        else:
            yield f"{name}.gate_proj.weight", View((stored,), (expert, slice(0, channels // 2)))
            yield f"{name}.up_proj.weight", View((stored,), (expert, slice(channels // 2, channels)))
