"""Checkpoints that others quantized or packed are refused with their layout's name, not a list of tensors."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine import CheckpointInvalid
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.files import read_json
from engine.checkpoint.tensors import StoredTensors

METHODS = {
    "awq": {"quant_method": "awq", "bits": 4},
    "gptq": {"quant_method": "gptq", "bits": 4},
    "compressed-tensors": {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    "fp8": {"quant_method": "fp8"},
    "wint4": "wint4",
}


@pytest.mark.parametrize("method", list(METHODS))
def test_a_quantized_configuration_is_named(tiny_checkpoint: Path, method: str) -> None:
    """Before any tensor is looked at; the hint says what to take instead."""
    raw = read_json(tiny_checkpoint / "config.json") | {"quantization_config": METHODS[method]}
    with pytest.raises(CheckpointInvalid, match=f"(?i)in the layout of {method}") as caught:
        ModelConfig.from_json(raw)
    assert "lynceus quantize" in caught.value.hint


@pytest.mark.parametrize(
    ("tensor", "layout"),
    [
        ("model.layers.0.mlp.up_proj.qweight", "AWQ or GPTQ"),
        ("model.layers.0.mlp.up_proj.weight_packed", "compressed-tensors"),
        ("model.layers.0.mlp.up_proj.weight_scale_inv", "FP8"),
        ("ernie.layers.1.mlp.experts.0.up_gate_proj.quant_weight", "FastDeploy"),
    ],
)
def test_quantized_tensors_are_named(tmp_path: Path, tensor: str, layout: str) -> None:
    """Where the configuration keeps silent."""
    save_file({tensor: torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointInvalid, match=f"in the layout of {layout} "):
        StoredTensors(tmp_path)


@pytest.mark.parametrize(
    ("file", "layout"),
    [("model-Q4.gguf", "GGUF"), ("model_state.pdparams", "Paddle"), ("pytorch_model.bin", "pickle")],
)
def test_weights_that_are_no_safetensors_are_named(tmp_path: Path, file: str, layout: str) -> None:
    """Instead of a file that is missing."""
    (tmp_path / file).touch()
    with pytest.raises(CheckpointInvalid, match=layout):
        StoredTensors(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rope_parameters", "linear", "of the kind 'linear'"),
        ("moe_intermediate_size", [1, 2, 3, 4], r"moe_intermediate_size is \[1, 2, 3, 4\]"),
        ("num_hidden_layers", "three", "value of an unexpected form"),
        ("moe_num_experts", [4, 8], "moe_num_experts .* differ"),
    ],
)
def test_an_odd_configuration_is_a_typed_error(
    tiny_checkpoint: Path, field: str, value: object, said: str
) -> None:
    """With the field, never as a raw exception."""
    raw = read_json(tiny_checkpoint / "config.json")
    raw["text_config"][field] = value
    with pytest.raises(CheckpointInvalid, match=said):
        ModelConfig.from_json(raw)


@pytest.mark.parametrize("form", [json.dumps, lambda _: "default"], ids=["JSON text", "name"])
def test_rope_parameters_may_be_a_text(tiny_checkpoint: Path, form: object) -> None:
    """The table as JSON, or the name of the kind; the rest then stands beside it."""
    raw = read_json(tiny_checkpoint / "config.json")
    text = raw["text_config"]
    expected = ModelConfig.from_json(raw)
    rope = text["rope_parameters"]
    text |= {"rope_theta": rope["rope_theta"], "freq_allocation": rope["mrope_section"][2]}
    text["rope_parameters"] = form(rope)  # type: ignore[operator] # either of two functions
    assert ModelConfig.from_json(raw) == expected


def test_a_third_entry_of_the_sizes_is_left_alone(tiny_checkpoint: Path) -> None:
    """Released files carry one for both modalities together, which this network has not."""
    raw = read_json(tiny_checkpoint / "config.json")
    expected = ModelConfig.from_json(raw)
    raw["text_config"]["moe_intermediate_size"] = [*raw["text_config"]["moe_intermediate_size"], 48]
    assert ModelConfig.from_json(raw) == expected
