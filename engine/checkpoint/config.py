"""The shape of the network, read from a checkpoint's `config.json`.

Two spellings exist: the nested one of transformers (`text_config`, `vision_config`) and the flat one of the
released repositories. Both become the same `ModelConfig`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.checkpoint.foreign import refuse_quantized
from engine.errors import CheckpointInvalid

Json = Mapping[str, Any]

USE_THE_RELEASED = "use the config.json that came with the weights"

RELEASED_IMAGE_TOKEN_ID = 100295
RELEASED_IMAGE_START_TOKEN_ID = 101304
RELEASED_IMAGE_END_TOKEN_ID = 101305


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the decoder; lengths are in elements, `rope_section` in frequency pairs (H, W, T)."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    rope_section: tuple[int, int, int]
    max_positions: int
    tie_word_embeddings: bool
    sparse_layers: tuple[bool, ...]
    num_experts: int
    experts_per_token: int
    text_expert_size: int
    vision_expert_size: int
    num_shared_experts: int
    router_norm_min: float


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of the vision tower and of the resampler behind it."""

    depth: int
    hidden_size: int
    num_heads: int
    intermediate_size: int
    patch_size: int
    in_channels: int
    spatial_merge_size: int
    temporal_merge_size: int
    layer_norm_eps: float

    @property
    def patch_dim(self) -> int:
        """Length of one flattened patch: channels x rows x columns."""
        return self.in_channels * self.patch_size**2


@dataclass(frozen=True)
class ModelConfig:
    """The whole network, and the token ids that mark an image."""

    text: TextConfig
    vision: VisionConfig
    image_token_id: int
    image_start_token_id: int
    image_end_token_id: int

    @property
    def image_special_ids(self) -> tuple[int, int, int]:
        """Ids of the tokens that belong to an image: its placeholder, its start and its end."""
        return self.image_token_id, self.image_start_token_id, self.image_end_token_id

    @staticmethod
    def from_json(raw: Json) -> "ModelConfig":
        """Read either spelling of config.json.

        CheckpointInvalid names a field that is missing or wrong, and a quantization that is not ours.
        """
        refuse_quantized(raw)
        try:
            text = raw.get("text_config", raw)
            return ModelConfig(
                text=_text_config(text, raw),
                vision=_vision_config(raw["vision_config"]),
                image_token_id=raw.get("image_token_id", raw.get("im_patch_id", RELEASED_IMAGE_TOKEN_ID)),
                image_start_token_id=raw.get("image_start_token_id", RELEASED_IMAGE_START_TOKEN_ID),
                image_end_token_id=raw.get("image_end_token_id", RELEASED_IMAGE_END_TOKEN_ID),
            )
        except KeyError as missing:
            raise CheckpointInvalid(f"config.json lacks the field {missing}", USE_THE_RELEASED) from missing
        except (TypeError, ValueError, AttributeError) as misfit:
            raise CheckpointInvalid(
                f"config.json has a value of an unexpected form: {misfit}", USE_THE_RELEASED
            ) from misfit


def _text_config(text: Json, raw: Json) -> TextConfig:
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    head_dim = text.get("head_dim") or hidden // heads
    rope = _rope_parameters(text.get("rope_parameters"))
    text_expert_size, vision_expert_size = _by_modality(
        "moe_intermediate_size", text["moe_intermediate_size"]
    )
    if text.get("use_bias"):
        raise CheckpointInvalid("config.json: use_bias is true", "only networks without biases are supported")
    return TextConfig(
        vocab_size=int(text["vocab_size"]),
        hidden_size=hidden,
        intermediate_size=int(text["intermediate_size"]),
        num_layers=int(text["num_hidden_layers"]),
        num_heads=heads,
        num_kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        rms_norm_eps=text["rms_norm_eps"],
        rope_theta=rope.get("rope_theta") or text.get("rope_theta", 500000.0),
        rope_section=_rope_section(text, rope, head_dim),
        max_positions=text["max_position_embeddings"],
        tie_word_embeddings=raw.get("tie_word_embeddings", text.get("tie_word_embeddings", True)),
        sparse_layers=_sparse_layers(text),
        num_experts=_experts_per_modality(text["moe_num_experts"]),
        experts_per_token=text["moe_k"],
        text_expert_size=text_expert_size,
        vision_expert_size=vision_expert_size,
        num_shared_experts=text.get("moe_num_shared_experts") or 0,
        router_norm_min=text.get("moe_norm_min", 1e-12),
    )


def _rope_parameters(value: str | Json | None) -> Json:
    """The table of rope parameters; some files hold it as a JSON text, or only the name of the kind."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("{") else {"rope_type": value}
    kind = (value or {}).get("rope_type") or "default"
    if kind != "default":
        raise CheckpointInvalid(f"config.json: rope_parameters are of the kind {kind!r}", USE_THE_RELEASED)
    return value or {}


def _by_modality(name: str, value: int | list[int]) -> tuple[int, int]:
    """The values for text and for vision; a third one, for both together, is not used by this network."""
    if isinstance(value, int):
        return value, value
    if len(value) not in (2, 3):
        raise CheckpointInvalid(f"config.json: {name} is {value}", "one value for text, one for vision")
    return value[0], value[1]


def _rope_section(text: Json, rope: Json, head_dim: int) -> tuple[int, int, int]:
    pairs = head_dim // 2
    time = text.get("freq_allocation", 20)
    h, w, t = rope.get("mrope_section") or ((pairs - time) // 2, (pairs - time) // 2, time)
    if h != w or h + w + t != pairs:
        raise CheckpointInvalid(
            f"config.json: rope sections {(h, w, t)} do not fit {pairs} frequency pairs",
            "height and width need equal shares, and the three must sum to half the head size",
        )
    return h, w, t


def _sparse_layers(text: Json) -> tuple[bool, ...]:
    layers = text["num_hidden_layers"]
    if types := text.get("mlp_layer_types"):
        return tuple(kind == "sparse" for kind in types)
    first = _first(text.get("moe_layer_start_index", 1))
    last = _first(text.get("moe_layer_end_index", layers))
    every = text.get("moe_layer_interval", 1)
    return tuple(first <= i <= last and (i + 1) % every == 0 for i in range(layers))


def _experts_per_modality(count: int | list[int]) -> int:
    text, vision = _by_modality("moe_num_experts", count)
    if text != vision:
        raise CheckpointInvalid(
            f"config.json: moe_num_experts {count} differ", "both modalities need as many experts"
        )
    return text


def _first(value: int | list[int]) -> int:
    return value[0] if isinstance(value, list) else value


def _vision_config(vision: Json) -> VisionConfig:
    hidden = vision.get("hidden_size") or vision["embed_dim"]
    return VisionConfig(
        depth=vision["depth"],
        hidden_size=hidden,
        num_heads=vision["num_heads"],
        intermediate_size=vision.get("intermediate_size") or int(hidden * vision["mlp_ratio"]),
        patch_size=vision["patch_size"],
        in_channels=vision.get("in_channels", vision.get("in_chans", 3)),
        spatial_merge_size=vision.get("spatial_merge_size", 2),
        temporal_merge_size=vision.get("temporal_merge_size", 2),
        layer_norm_eps=vision.get("rms_norm_eps", 1e-6),
    )
