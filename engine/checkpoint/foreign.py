"""Recognizes checkpoints that other programs quantized or packed, and says which they are.

Their tensors have names and meanings of their own, so that a list of missing ones would hide the reason.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from engine.errors import CheckpointInvalid

TAKE_PLAIN = (
    "take the repository in bfloat16 (ERNIE-4.5-VL-28B-A3B-PT, -Thinking or -Paddle) and let "
    "`lynceus quantize` make it small"
)

METHODS: Mapping[str, str] = {
    "awq": "AWQ",
    "gptq": "GPTQ",
    "compressed-tensors": "compressed-tensors",
    "fp8": "FP8",
    "bitsandbytes": "bitsandbytes",
}
"""Quantized layouts by what `quantization_config` calls them."""

SUFFIXES: Mapping[str, str] = {
    ".weight_packed": "compressed-tensors",
    ".g_idx": "GPTQ",
    ".qweight": "AWQ or GPTQ",
    ".quant_weight": "FastDeploy",
    ".weight_scale_inv": "FP8",
    ".weight_scale": "compressed-tensors or FP8",
    ".SCB": "bitsandbytes",
}
"""Quantized layouts by the ending of a tensor's name that only they have."""

PACKED: Mapping[str, str] = {
    "*.gguf": "GGUF, the format of llama.cpp",
    "*.pdparams": "the format of Paddle without safetensors",
    "pytorch_model*.bin": "the pickle format of torch",
}
"""Layouts without safetensors, by the names of their files."""


def refuse_quantized(config: Mapping[str, Any]) -> None:
    """Raise CheckpointInvalid where the configuration says that another program quantized the weights."""
    quantized = config.get("quantization_config")
    if not quantized:
        return
    said = quantized.get("quant_method") if isinstance(quantized, Mapping) else quantized
    raise _foreign(f"config.json: quantization_config names {said!r}", METHODS.get(str(said), str(said)))


def refuse_quantized_tensors(names: Collection[str]) -> None:
    """Raise CheckpointInvalid where tensors have names that only a quantized layout has."""
    for suffix, layout in SUFFIXES.items():
        if found := next((name for name in names if name.endswith(suffix)), None):
            raise _foreign(f"the tensor {found}", layout)


def packed_layout(directory: Path) -> str | None:
    """What kind of weights lie in a folder that has no safetensors; None where nothing is recognized."""
    return next((layout for pattern, layout in PACKED.items() if any(directory.glob(pattern))), None)


def _foreign(sign: str, layout: str) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"the weights are quantized already, in the layout of {layout} ({sign})", TAKE_PLAIN
    )
