"""The starter model: the same architecture, small enough to train on two cores and to ship."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from engine.checkpoint.config import ModelConfig
from engine.model.images import ImageProcessor
from engine.model.network import ErnieVL

LARGEST_AREA = 29_000
"""Pixels after resizing: a square picture becomes 168 x 168, that is 36 tokens."""

INITIAL_DEVIATION = 0.02


def starter_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """`config.json` of the starter; hidden and expert sizes are multiples of 128, as the 2-bit code needs."""

    def token(name: str) -> int:
        found = tokenizer.token_to_id(name)
        assert found is not None, f"the tokenizer lacks {name}"
        return found

    return {
        "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"],
        "model_type": "ernie4_5_vl_moe",
        "tie_word_embeddings": True,
        "image_token_id": token("<|IMAGE_PLACEHOLDER|>"),
        "image_start_token_id": token("<|IMAGE_START|>"),
        "image_end_token_id": token("<|IMAGE_END|>"),
        "video_token_id": token("<|VIDEO_PLACEHOLDER|>"),
        "video_start_token_id": token("<|VIDEO_START|>"),
        "video_end_token_id": token("<|VIDEO_END|>"),
        "text_config": {
            "vocab_size": -(-tokenizer.get_vocab_size() // 128) * 128,
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "use_bias": False,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0, "mrope_section": [6, 6, 4]},
            "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
            "moe_intermediate_size": [128, 128],
            "moe_num_experts": 8,
            "moe_k": 2,
            "moe_num_shared_experts": 2,
        },
        "vision_config": {
            "depth": 6,
            "hidden_size": 160,
            "num_heads": 4,
            "intermediate_size": 640,
            "hidden_act": "quick_gelu",
            "patch_size": 14,
            "in_channels": 3,
            "spatial_merge_size": 2,
            "temporal_merge_size": 2,
        },
    }


def starter_images() -> ImageProcessor:
    """How the starter sees a picture."""
    return ImageProcessor(max_area=LARGEST_AREA)


def new_network(config: dict[str, Any]) -> ErnieVL:
    """A network of this shape with random weights; draw from torch's global generator."""
    network = ErnieVL(ModelConfig.from_json(config))
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.trunc_normal_(parameter, std=INITIAL_DEVIATION)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return network


def write_configs(directory: Path, config: dict[str, Any]) -> None:
    """Write `config.json`, `preprocessor_config.json` and `generation_config.json` beside the weights."""
    images = starter_images()
    files = {
        "config.json": config,
        "preprocessor_config.json": {
            "patch_size": images.patch,
            "merge_size": images.merge,
            "min_pixels": images.min_area,
            "max_pixels": images.max_area,
            "image_mean": list(images.mean),
            "image_std": list(images.std),
        },
        "generation_config.json": {"do_sample": False},
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
