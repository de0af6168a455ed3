"""Loading and saving checkpoints: strict, in both layouts, and sparing with memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import CheckpointInvalid
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.names import pieces_of
from engine.model import ErnieVL, load
from engine.model.loading import save_plain
from engine.quant.rows import decode_rows, encode_rows
from tests.engine.tiny import Shape


def _load(directory: Path) -> ErnieVL:
    return load(directory, torch.float32, "cpu")


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def _change(directory: Path, **changes: torch.Tensor | None) -> None:
    """Set or drop stored tensors; `__` in a name stands for a dot."""
    path = directory / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        tensors.pop(key, None)
        if tensor is not None:
            tensors[key] = tensor
    save_file(tensors, path, metadata={"format": "pt"})


def _flat(nested: dict[str, object]) -> dict[str, object]:
    """The same configuration as the released repositories spell it."""
    text = dict(nested["text_config"])  # type: ignore[call-overload]
    vision = dict(nested["vision_config"])  # type: ignore[call-overload]
    rope = text.pop("rope_parameters")
    text.pop("mlp_layer_types")
    return {
        **text,
        "model_type": "ernie4_5_moe_vl",
        "rope_theta": rope["rope_theta"],
        "freq_allocation": rope["mrope_section"][2],
        "moe_num_experts": [text["moe_num_experts"]] * 2,
        "moe_layer_start_index": [1, 1],
        "moe_layer_end_index": [29, 28],
        "moe_layer_interval": 1,
        "im_patch_id": nested["image_token_id"],
        "image_start_token_id": nested["image_start_token_id"],
        "image_end_token_id": nested["image_end_token_id"],
        "vision_config": {
            "embed_dim": vision["hidden_size"],
            "mlp_ratio": vision["intermediate_size"] / vision["hidden_size"],
            **{key: vision[key] for key in ("depth", "num_heads", "patch_size", "spatial_merge_size")},
        },
    }


def test_the_flat_spelling_of_the_configuration_means_the_same(tiny_checkpoint: Path) -> None:
    """The released repositories spell config.json flat, transformers nests it."""
    nested = json.loads((tiny_checkpoint / "config.json").read_text(encoding="utf-8"))
    assert ModelConfig.from_json(_flat(nested)) == ModelConfig.from_json(nested)


def test_missing_surplus_and_misshapen_tensors_are_all_listed(copy: Path) -> None:
    """One error names every tensor that does not fit, with both shapes."""
    _change(
        copy,
        model__norm__weight=None,
        model__surprise=torch.zeros(2),
        model__resampler_model__after_norm__weight=torch.zeros(3),
    )
    with pytest.raises(CheckpointInvalid) as caught:
        _load(copy)
    assert "3 tensors do not fit" in caught.value.detail
    assert "missing model.norm.weight [64]" in caught.value.detail
    assert "surplus model.surprise" in caught.value.detail
    assert "misshapen model.resampler_model.after_norm.weight: [3] instead of [64]" in caught.value.detail


def test_a_truncated_file_is_named(copy: Path) -> None:
    """A copy that broke off is an error, not a model."""
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointInvalid, match=r"model\.safetensors is not a whole safetensors file"):
        _load(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    """The index promises a file that is not there."""
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=r"model-00002-of-00002\.safetensors is missing"):
        _load(copy)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", "{", "is not JSON"),
        ("config.json", "[]", "JSON object"),
        ("config.json", '{"vision_config": {}}', "hidden_size"),
        ("lynceus.json", '{"version": 99}', "version 99"),
        ("lynceus.json", '{"version": 1, "formats": {"model.norm.weight": "rows3"}}', "rows3"),
    ],
)
def test_a_damaged_description_is_refused(copy: Path, name: str, content: str | None, said: str) -> None:
    """Each damage has a typed error that names file or field."""
    (copy / name).unlink(missing_ok=True)
    if content is not None:
        (copy / name).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointInvalid, match=said):
        _load(copy)


def test_rounding_to_eight_bits_errs_by_half_a_step_at_most() -> None:
    """The law that the compressed layout rests on."""
    weight = torch.randn(7, 33, generator=torch.Generator().manual_seed(0))
    codes, scales = encode_rows(weight)
    assert codes.dtype == torch.int8
    assert ((decode_rows(codes, scales) - weight).abs() <= scales[:, None] / 2 + 1e-7).all()


def test_what_is_saved_plainly_loads_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The trainer's way out: released names and shapes, so that any reader of the layout takes it."""
    network = _load(tiny_checkpoint)
    shutil.copyfile(tiny_checkpoint / "config.json", tmp_path / "config.json")
    save_plain(network, tmp_path, torch.float32)
    for (name, before), after in zip(network.named_parameters(), _load(tmp_path).parameters(), strict=True):
        assert torch.equal(before, after), name


def test_loading_tells_its_progress(tiny_checkpoint: Path) -> None:
    """Ever more weights, and in the end all of them."""
    told: list[tuple[int, int]] = []
    network = load(tiny_checkpoint, torch.float32, "cpu", lambda done, total: told.append((done, total)))
    total = sum(parameter.numel() for parameter in network.parameters())
    assert told == sorted(told)
    assert told[-1] == (total, total)


def _write_zeros(directory: Path, shape: Shape) -> None:
    """A large checkpoint of the right names and shapes, quickly."""
    shape.config().save_pretrained(directory)
    config = ModelConfig.from_json(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    with torch.device("meta"):
        network = ErnieVL(config)
    pieces = [
        piece
        for name, parameter in network.named_parameters()
        for piece in pieces_of(name, tuple(parameter.shape), config)
    ]
    save_file({piece.key: torch.zeros(piece.shape) for piece in pieces}, directory / "model.safetensors")


MEASURE = """
import resource, sys, torch
from engine.model import load
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load(sys.argv[1], torch.float32, "cpu")
before = peak()
network = load(sys.argv[2], torch.float32, "cpu")
print(peak() - before, sum(p.numel() * p.element_size() for p in network.parameters()) // 1024)
"""


def test_the_peak_of_loading_is_close_to_the_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint of some 300 MB needs little more than its own size while it is read."""
    _write_zeros(tmp_path, Shape(hidden_size=1024, head_dim=64, experts=16, expert_sizes=(1024, 512)))
    command = [sys.executable, "-c", MEASURE, str(tiny_checkpoint), str(tmp_path)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    added, weights = (int(number) / 1024 for number in out.split())
    assert weights > 250
    assert added < 1.15 * weights + 20
