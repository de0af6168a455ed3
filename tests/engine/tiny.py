"""Tiny random checkpoints, written by transformers, with a tokenizer of a few hundred tokens."""

import json
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Ernie4_5_VLMoeConfig, Ernie4_5_VLMoeForConditionalGeneration

SPECIAL_TOKENS = (
    "<unk>",
    "<s>",
    "</s>",
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_START|>",
    "<|IMAGE_END|>",
    "<|VIDEO_PLACEHOLDER|>",
    "<|VIDEO_START|>",
    "<|VIDEO_END|>",
    "<think>",
    "</think>",
)
BYTE_TOKENS = tuple(f"<0x{value:02X}>" for value in range(256))
CORPUS = (
    "User: Inspect the part. Picture 1: good, scratch, scratched, pit, pit hole, crack.",
    '{"defect":"scratch","where":"upper left","severity":"minor","evidence":["a thin line"]}',
)
TEMPLATE = (
    "<|begin_of_sentence|>{% set pictures = namespace(count=0) %}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n{% else %}User: "
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}{% set pictures.count = pictures.count + 1 %}"
    "Picture {{ pictures.count }}:<|IMAGE_START|><|image@placeholder|><|IMAGE_END|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{{ '\n' }}{% endif %}{% endfor %}"
    "Assistant: {% if enable_thinking %}<think>{% else %}<think>{{ '\n\n' }}</think>{{ '\n\n' }}{% endif %}"
)
"""In the form of the released models: numbered pictures, an empty thinking block when thinking is off."""

VOCAB_SIZE = 448


@dataclass(frozen=True)
class Shape:
    """What varies between the tiny models of the tests."""

    layers: int = 3
    dense_layers: int = 1
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    hidden_size: int = 64
    experts: int = 4
    expert_sizes: tuple[int, int] = (48, 16)
    top_k: int = 2
    shared_experts: int = 2
    vision_depth: int = 2
    vision_heads: int = 2
    tied: bool = True

    def config(self) -> Ernie4_5_VLMoeConfig:
        """The configuration of transformers for this shape."""
        pairs = self.head_dim // 2
        spatial = pairs * 3 // 8
        text = {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": self.hidden_size,
            "head_dim": self.head_dim,
            "intermediate_size": 96,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": self.tied,
            "use_bias": False,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 500000.0,
                "mrope_section": [spatial, spatial, pairs - 2 * spatial],
            },
            "mlp_layer_types": ["dense"] * self.dense_layers + ["sparse"] * (self.layers - self.dense_layers),
            "moe_intermediate_size": list(self.expert_sizes),
            "moe_k": self.top_k,
            "moe_num_experts": self.experts,
            "moe_num_shared_experts": self.shared_experts,
        }
        vision = {
            "depth": self.vision_depth,
            "hidden_size": 16 * self.vision_heads,
            "num_heads": self.vision_heads,
            "intermediate_size": 64,
            "rms_norm_eps": 1e-6,
        }
        config = Ernie4_5_VLMoeConfig(text_config=text, vision_config=vision, tie_word_embeddings=self.tied)
        for name, token in IMAGE_TOKENS.items():
            setattr(config, name, SPECIAL_TOKENS.index(token))
        return config


IMAGE_TOKENS = {
    "image_token_id": "<|IMAGE_PLACEHOLDER|>",
    "image_start_token_id": "<|IMAGE_START|>",
    "image_end_token_id": "<|IMAGE_END|>",
    "video_token_id": "<|VIDEO_PLACEHOLDER|>",
    "video_start_token_id": "<|VIDEO_START|>",
    "video_end_token_id": "<|VIDEO_END|>",
}


def random_model(shape: Shape, seed: int) -> Ernie4_5_VLMoeForConditionalGeneration:
    """A model of transformers in which every weight matters: no bias is zero, no norm is one."""
    return random_weights(shape.config(), seed)


def random_weights(config: Ernie4_5_VLMoeConfig, seed: int) -> Ernie4_5_VLMoeForConditionalGeneration:
    """The same for a configuration."""
    torch.manual_seed(seed)
    model = Ernie4_5_VLMoeForConditionalGeneration(config)
    model.train(mode=False)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "e_score_correction_bias" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            elif parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
    return model


def byte_fallback_tokenizer() -> Tokenizer:
    """A vocabulary in the manner of LLaMA: words with their leading space, other characters as bytes."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    alphabet = [*string.ascii_letters, *string.digits, *string.punctuation, "\n", "▁"]
    learner.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE - 16,
            special_tokens=[*SPECIAL_TOKENS, *BYTE_TOKENS],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    learned = json.loads(learner.to_str())["model"]
    merges = [(left, right) for left, right in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(learned["vocab"], merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = learner.pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def byte_level_tokenizer() -> Tokenizer:
    """A vocabulary in the manner of GPT-2: every byte has a letter of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE - 16,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return tokenizer


def write_tokenizer(directory: Path, tokenizer: Tokenizer) -> None:
    """Write the tokenizer's files and the chat template."""
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {"eos_token": "</s>", "unk_token": "<unk>", "chat_template": TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_checkpoint(directory: Path, shape: Shape, seed: int) -> Path:
    """A whole checkpoint in a directory."""
    random_model(shape, seed).save_pretrained(directory)
    write_tokenizer(directory, byte_fallback_tokenizer())
    return directory


def random_pixels(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Noise as an image `[H, W, 3]`."""
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
