"""Tiny checkpoints in the shape of each released revision, after what others have seen of its files.

Names of tensors, spelling of the configuration, tokenizer and template differ as they do between the released
repositories; the weights are the same random ones in all.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Ernie4_5_VLMoeConfig, Ernie4_5_VLMoeForConditionalGeneration

from engine.checkpoint.sentencepiece_model import SentencePieceModel
from engine.checkpoint.sentencepiece_tokenizer import converted
from tests.engine.tiny import CORPUS, IMAGE_TOKENS, VOCAB_SIZE, Shape, random_weights

Tensors = dict[str, Tensor]

PIECES = 424
ADDED = (
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<mask:1>",
    "<|IMAGE_PLACEHOLDER|>",
    "<|IMAGE_START|>",
    "<|IMAGE_END|>",
    "<|VIDEO_PLACEHOLDER|>",
    "<|VIDEO_START|>",
    "<|VIDEO_END|>",
    "<think>",
    "</think>",
)
"""Added behind the pieces of `tokenizer.model`, as in the released vocabulary."""

ADDED_IDS = {token: PIECES + number for number, token in enumerate(ADDED)}
DIGITS = tuple("0123456789")

THINKING_SYSTEM = (
    "You are a multimodal AI assistant called ERNIE developed by Baidu based on the PaddlePaddle framework."
)

_TURNS = (
    "{%- set pictures = namespace(count=0) -%}{{- '<|begin_of_sentence|>' -}}"
    "{%- if messages[0].role == 'system' -%}{{- messages[0].content + '\\n' -}}"
    "{%- else -%}{{- SYSTEM -}}{%- endif -%}"
    "{%- for message in messages -%}{%- if message.role == 'system' -%}{%- continue -%}{%- endif -%}"
    "{{- 'User: ' + GAP -}}{%- for part in message.content -%}"
    "{%- if part.type == 'IMAGE' -%}{%- set pictures.count = pictures.count + 1 -%}"
    "{{- 'Picture ' ~ pictures.count ~ ':<|IMAGE_START|>MARK<|IMAGE_END|>' -}}"
    "{%- elif part.type == 'text' -%}{{- part.text -}}"
    "{%- else -%}{{- raise_exception('unknown part ' ~ part.type) -}}{%- endif -%}"
    "{%- endfor -%}{{- '\\n' -}}{%- endfor -%}"
)


def template(image: str, mark: str, ending: str, system: str = "", gap: str = "") -> str:
    """A template that takes images of the type `image` only, writes `mark` for them, and ends so."""
    turns = _TURNS.replace("IMAGE'", f"{image}'").replace("MARK", mark)
    return turns.replace("SYSTEM", repr(system)).replace("GAP", repr(gap)) + ending


OLD_MARK, NEW_MARK = "<|image@placeholder|>", "<|IMAGE_PLACEHOLDER|>"
PT_ENDING = "{{- 'Assistant: <think>' -}}{%- if not enable_thinking -%}{{- '</think>' -}}{%- endif -%}"
NATIVE_ENDING = (
    "{{- 'Assistant: ' -}}{%- if enable_thinking -%}{{- '<think>' -}}"
    "{%- else -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}"
)
THINKING_ENDING = (
    "{{- 'Assistant:\\n<think>\\n' -}}{%- if options is defined and options.thinking_mode == 'close' -%}"
    "{{- '\\n</think>\\n\\n' -}}{%- endif -%}"
)
BARE_ENDING = "{{- 'Assistant:' -}}"


@dataclass(frozen=True)
class Revision:
    """One released revision: who its files are written by, and what its prompts look like.

    `verdict` and `report` are the prompts with thinking off and on for `parts`, where `None` is the picture.
    """

    name: str
    write: Callable[[Ernie4_5_VLMoeForConditionalGeneration, Path], None]
    parts: tuple[str | None, ...]
    verdict: str
    report: str


def released_config(shape: Shape) -> Ernie4_5_VLMoeConfig:
    """The native configuration, with the ids of the vocabulary here."""
    config = shape.config()
    for name, token in IMAGE_TOKENS.items():
        setattr(config, name, ADDED_IDS[token])
    return config


def released_model(shape: Shape, seed: int) -> Ernie4_5_VLMoeForConditionalGeneration:
    """The random weights that each revision stores in its own way, for a reference that computes exactly."""
    model = random_weights(released_config(shape), seed)
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    return model


def flat_config(config: Ernie4_5_VLMoeConfig) -> dict[str, Any]:
    """As the released repositories spell it, odd entries included."""
    text: Any = config.text_config
    vision: Any = config.vision_config
    names = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
        "use_bias",
        "moe_k",
        "moe_num_shared_experts",
    ]
    dense = sum(kind == "dense" for kind in text.mlp_layer_types)
    return {name: getattr(text, name) for name in names} | {
        "model_type": "ernie4_5_moe_vl",
        "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"],
        "rope_theta": text.rope_parameters["rope_theta"],
        "rope_parameters": "default",
        "rope_3d": True,
        "freq_allocation": text.rope_parameters["mrope_section"][2],
        "moe_intermediate_size": [*text.moe_intermediate_size, text.moe_intermediate_size[0]],
        "moe_num_experts": [text.moe_num_experts] * 2,
        "moe_layer_start_index": [dense, dense],
        "moe_layer_end_index": [29, 28],
        "moe_layer_interval": 1,
        "im_patch_id": config.image_token_id,
        "image_start_token_id": config.image_start_token_id,
        "image_end_token_id": config.image_end_token_id,
        "spatial_conv_size": 2,
        "temporal_conv_size": 2,
        "vision_config": {
            "embed_dim": vision.hidden_size,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            **{
                key: getattr(vision, key)
                for key in ("depth", "num_heads", "patch_size", "spatial_merge_size")
            },
        },
    }


def sentencepiece_model(**options: Any) -> bytes:  # noqa: ANN401 - what the trainer takes
    """A model trained on a few lines; digits are user-defined pieces, as in the released one."""
    out = io.BytesIO()
    chosen: dict[str, Any] = {
        "vocab_size": PIECES,
        "byte_fallback": True,
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
        "user_defined_symbols": list(DIGITS),
        "character_coverage": 1.0,
        "sentence_iterator": iter(CORPUS * 4),
        "hard_vocab_limit": True,
    }
    sentencepiece.SentencePieceTrainer.train(
        model_type="bpe", model_writer=out, minloglevel=2, **(chosen | options)
    )
    return out.getvalue()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_slow_tokenizer(directory: Path, chat_template: object = None) -> None:
    """`tokenizer.model` with its added tokens, and settings that call even digits special."""
    (directory / "tokenizer.model").write_bytes(sentencepiece_model())
    _write_json(directory / "added_tokens.json", ADDED_IDS)
    settings = {
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<|begin_of_sentence|>",
        "additional_special_tokens": [*DIGITS, *ADDED],
        "tokenizer_class": "Ernie4_5_VLTokenizer",
    }
    _write_json(
        directory / "tokenizer_config.json",
        settings | ({} if chat_template is None else {"chat_template": chat_template}),
    )


def _write_defaults(directory: Path, processor: Mapping[str, Any]) -> None:
    _write_json(directory / "preprocessor_config.json", {"patch_size": 14, "merge_size": 2, **processor})
    _write_json(
        directory / "generation_config.json",
        {"do_sample": True, "temperature": 0.2, "top_p": 0.8, "repetition_penalty": 1.05, "eos_token_id": 2},
    )


def hub_tensors(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> Tensors:
    """The tensors under the names of the released repositories, written and read by transformers."""
    from safetensors.torch import load_file

    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"].clone())
    return {name.replace("model.vision_model.", "vision_model."): tensor for name, tensor in tensors.items()}


def _save(tensors: Tensors, directory: Path) -> None:
    whole = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, directory / "model.safetensors", metadata={"format": "pt"})


def _flat(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    _save(hub_tensors(model, directory), directory)
    _write_json(directory / "config.json", flat_config(model.config))
    _write_slow_tokenizer(directory, template("image_url", OLD_MARK, PT_ENDING))
    _write_defaults(directory, {"min_pixels": 3136, "max_pixels": 20_000})


def _native(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    model.save_pretrained(directory, max_shard_size="100KB")
    (directory / "tokenizer.model").write_bytes(sentencepiece_model())
    pieces = SentencePieceModel.read(directory / "tokenizer.model")
    converted(pieces, ADDED_IDS, frozenset(ADDED)).save(str(directory / "tokenizer.json"))
    (directory / "tokenizer.model").unlink()
    _write_json(directory / "tokenizer_config.json", {"eos_token": "</s>", "unk_token": "<unk>"})
    (directory / "chat_template.jinja").write_text(
        template("image", NEW_MARK, NATIVE_ENDING), encoding="utf-8"
    )
    _write_defaults(directory, {})
    (directory / "preprocessor_config.json").unlink()
    areas = {"size": {"shortest_edge": 3136, "longest_edge": 20_000}}
    _write_json(directory / "processor_config.json", {"image_processor": areas})


def _thinking(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    _flat(model, directory)
    _write_slow_tokenizer(directory)
    text = template("image_url", OLD_MARK, THINKING_ENDING, system=THINKING_SYSTEM + "\n", gap=" ")
    _write_json(directory / "chat_template.json", {"chat_template": text})


def _bare_thinking(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    _flat(model, directory)
    text = template("image_url", OLD_MARK, BARE_ENDING, system=THINKING_SYSTEM + "\n")
    named = [{"name": "tool_use", "template": "{{ 1 }}"}, {"name": "default", "template": text}]
    _write_slow_tokenizer(directory, named)


def _paddle(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    _flat(model, directory)
    hub = hub_tensors(model, directory)
    _write_json(directory / "config.json", flat_config(model.config))
    _save(paddle_tensors(hub), directory)


def paddle_tensors(hub: Tensors) -> Tensors:
    """Linear layers turned round, and the projections that FastDeploy lists as one put together."""
    turned = {
        name: tensor.T
        if tensor.ndim == 2 and not any(word in name for word in ("embed_tokens", ".gate.", "moe_statics"))
        else tensor
        for name, tensor in hub.items()
    }
    fused: Tensors = {}
    for name, tensor in turned.items():
        if ".q_proj." in name:
            parts = [turned[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            fused[name.replace("q_proj", "qkv_proj")] = torch.cat(parts, dim=1)
        elif ".gate_proj." in name:
            both = (tensor, turned[name.replace("gate_proj", "up_proj")])
            fused[name.replace("gate_proj", "up_gate_proj")] = torch.cat(both, dim=1)
        elif not any(part in name for part in (".k_proj.", ".v_proj.", ".up_proj.")):
            fused[name] = tensor
    return {
        "ernie." + name.removeprefix("model.") if name.startswith("model.") else name: tensor
        for name, tensor in fused.items()
    }


def _in_memory(model: Ernie4_5_VLMoeForConditionalGeneration, directory: Path) -> None:
    _native(model, directory)
    for path in directory.glob("model*"):
        path.unlink()
    _save(dict(model.state_dict()), directory)


_PICTURE = "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>"
_PT = f"<|begin_of_sentence|>User: TEXTPicture 1:{_PICTURE}\nAssistant: <think>"
_THINKING = f"<|begin_of_sentence|>{THINKING_SYSTEM}\nUser:  Picture 1:{_PICTURE}TEXT\nAssistant:\n<think>\n"
_BARE = _THINKING.replace("User:  ", "User: ").removesuffix("\n<think>\n")

REVISIONS = (
    Revision("PT", _flat, ("TEXT", None), verdict=f"{_PT}</think>", report=_PT),
    Revision("PT-native", _native, ("TEXT", None), verdict=f"{_PT}\n\n</think>\n\n", report=_PT),
    Revision("Thinking", _thinking, (None, "TEXT"), verdict=f"{_THINKING}\n</think>\n\n", report=_THINKING),
    Revision(
        "Thinking-bare",
        _bare_thinking,
        (None, "TEXT"),
        verdict=f"{_BARE}\n<think>\n\n</think>\n\n",
        report=f"{_BARE}\n<think>\n",
    ),
    Revision("Paddle", _paddle, ("TEXT", None), verdict=f"{_PT}</think>", report=_PT),
    Revision("in-memory", _in_memory, ("TEXT", None), verdict=f"{_PT}\n\n</think>\n\n", report=_PT),
)
"""The texts are those of printed prompts; where none was printed with a closed block, it is an empty one."""

assert PIECES + len(ADDED) <= VOCAB_SIZE
