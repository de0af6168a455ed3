"""From a released checkpoint to 2 bits: what is kept, how near it comes, and what is refused."""

import json
import shutil
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import CheckpointInvalid
from engine.checkpoint.tensors import StoredTensors, digest_of
from engine.compression import REPORT, CompressionProgress, Example, Options, Totals, compress
from engine.errors import CheckpointUnwritten
from engine.model import load
from engine.model.compressed import GroupsLinear, RowsLinear
from engine.model.two_bit import TwoBitExperts
from tests.engine.compression.conftest import SHAPE
from tests.engine.released import REVISIONS, released_model
from tests.engine.tiny import write_checkpoint

pytestmark = pytest.mark.slow

Result = tuple[Path, Totals, list[CompressionProgress]]


def _compress(source: Path, target: Path, examples: tuple[Example, ...], options: Options) -> Result:
    told: list[CompressionProgress] = []
    return target, compress(source, target, options, examples, told.append), told


@pytest.fixture(scope="module")
def compressed(
    source: Path, examples: tuple[Example, ...], tmp_path_factory: pytest.TempPathFactory
) -> Result:
    """Calibrated, with 8 bits for what is not routed; tests must not change it."""
    return _compress(source, tmp_path_factory.mktemp("compressed") / "model", examples, Options())


@torch.inference_mode()
def test_the_network_computes_with_the_codes(compressed: Result) -> None:
    """Every layer has its compressed kind, the routers stay as they were, and numbers come out."""
    network = load(compressed[0], torch.float32, "cpu")

    experts = network.get_submodule("decoder.layers.1.mlp.text")
    assert isinstance(experts, TwoBitExperts)
    assert isinstance(network.get_submodule("vision_model.blocks.0.mlp.fc1"), RowsLinear)
    assert experts.router.weight.dtype == torch.float32
    assert network(torch.arange(300, 330), None, None).isfinite().all()


def test_the_report_has_a_line_for_every_tensor_of_the_source(source: Path, compressed: Result) -> None:
    """Routed experts with both errors, the rest with that of the weight; sizes are those on disk."""
    target, totals, _ = compressed
    report = json.loads((target / REPORT).read_text(encoding="utf-8"))
    rows = report["tensors"]

    assert rows.keys() == StoredTensors(source).names
    routed = [row for row in rows.values() if row["format"] == "two_bit"]
    assert len(routed) == 2 * 2 * SHAPE.experts * 3
    assert all(0 < row["output_error"] < row["weight_error"] < 0.2 for row in routed)
    assert all(row["weight_error"] < 1e-3 for row in rows.values() if row["format"] != "two_bit")
    assert report["source_digest"] == digest_of(source)
    stored = StoredTensors(target)
    signs = sum(8 * stored.part(name).numel() for name in stored.names if name.endswith(".signs"))
    bits = sum(8 * stored.part(name).nbytes for name in stored.names)
    assert totals.bits_per_weight * totals.weights == pytest.approx(bits - signs)
    assert totals.bits_per_routed_weight == 2 + 16 / 128


def test_progress_ends_with_every_routed_weight(compressed: Result) -> None:
    """It only grows, and says what is being done."""
    _, totals, told = compressed

    assert [step.done for step in told] == sorted(step.done for step in told)
    assert told[-1].done == told[-1].total == totals.routed_weights
    assert {"reading the source", "embedding and vision", "layer 2"} <= {step.doing for step in told}


def test_packed_files_hold_what_the_manifest_says(compressed: Result) -> None:
    """The index places every tensor; the experts of a layer are one stack with one set of signs."""
    target, _, _ = compressed
    stored = StoredTensors(target)
    index = json.loads((target / "model.safetensors.index.json").read_text(encoding="utf-8"))["weight_map"]
    stack = "model.layers.2.mlp.vision.gate_up"

    assert index.keys() == stored.names
    assert stored.manifest.window_bits == 16
    assert stored.part(f"{stack}.codes").shape == (2, 2, 32, 128)
    assert stored.part(f"{stack}.scales").shape == (2, 256)
    assert stored.part(f"{stack}.signs").shape == (128,)
    assert (target / "tokenizer.json").exists()
    assert prod(stored.read(stack, (2, 256, 128)).shape) == 2 * 256 * 128


def test_calibration_serves_the_outputs(source: Path, compressed: Result, tmp_path: Path) -> None:
    """Weights err more and outputs less than without it, where the report has no output error."""
    _, blind, _ = _compress(source, tmp_path / "blind", (), Options())

    assert blind.output_error is None
    assert blind.weight_error < 0.08
    assert compressed[1].output_error is not None
    assert compressed[1].output_error < 0.75 * blind.weight_error


@torch.inference_mode()
def test_what_is_not_routed_can_take_four_bits(source: Path, tmp_path: Path) -> None:
    """Smaller, and still a network; the embedding and what does not fit keep eight."""
    target, totals, _ = _compress(source, tmp_path / "four", (), Options(bits_elsewhere=4))
    network = load(target, torch.float32, "cpu")

    assert isinstance(network.get_submodule("decoder.layers.0.mlp.gate_proj"), GroupsLinear)
    assert isinstance(network.get_submodule("vision_model.blocks.0.mlp.fc1"), RowsLinear)
    assert StoredTensors(target).format_of("model.embed_tokens.weight") == "rows8"
    assert totals.bits_per_weight < 6.5
    assert network(torch.arange(300, 310), None, None).isfinite().all()


def _damaged(source: Path, copy: Path, name: str, value: float) -> Path:
    shutil.copytree(source, copy)
    tensors = load_file(copy / "model.safetensors")
    tensors[name][0, 0] = value
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["model.layers.2.mlp.experts.1.up_proj.weight", "model.layers.0.self_attn.q_proj.weight"]
)
def test_a_corrupt_tensor_of_the_source_is_named(
    source: Path, tmp_path: Path, name: str, value: float
) -> None:
    """Nothing that loads is written from numbers that are none."""
    damaged = _damaged(source, tmp_path / "damaged", name, value)

    with pytest.raises(CheckpointInvalid, match=name):
        _compress(damaged, tmp_path / "target", (), Options())
    assert not (tmp_path / "target").exists()


def test_a_source_that_was_cut_off_is_named_with_its_lost_tensors(source: Path, tmp_path: Path) -> None:
    """The header still says what should be there."""
    copy = Path(shutil.copytree(source, tmp_path / "cut"))
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5000])

    with pytest.raises(CheckpointInvalid, match=r"model\.safetensors.*ends before .*vision_model"):
        _compress(copy, tmp_path / "target", (), Options())


def test_a_model_outside_the_code_is_refused_at_once(tmp_path: Path) -> None:
    """The stack is named with the shape and what would fit."""
    small = write_checkpoint(tmp_path / "small", replace(SHAPE, expert_sizes=(128, 64)), seed=1)

    with pytest.raises(CheckpointInvalid, match=r"layers\.1\.mlp\.vision\.down.*64 input rows"):
        _compress(small, tmp_path / "target", (), Options())


def test_a_compressed_source_is_refused(compressed: Result, tmp_path: Path) -> None:
    """Encoding twice would lose twice."""
    with pytest.raises(CheckpointInvalid, match="2 bits already"):
        _compress(compressed[0], tmp_path / "target", (), Options())


def test_an_existing_target_is_left_alone(source: Path, tmp_path: Path) -> None:
    """Nobody's folder is overwritten."""
    with pytest.raises(CheckpointUnwritten, match="exists already"):
        _compress(source, tmp_path, (), Options())


@pytest.mark.parametrize(("window_bits", "bits_elsewhere", "said"), [(17, 8, "17"), (16, 5, "5")])
def test_a_number_without_a_format_is_refused(window_bits: int, bits_elsewhere: int, said: str) -> None:
    """The error lists what may be chosen."""
    with pytest.raises(CheckpointInvalid, match=said):
        Options(window_bits, bits_elsewhere)


def test_every_layout_is_quantized_to_the_same_weights(tmp_path: Path) -> None:
    """Names alone differ: each tensor of the results is the same byte for byte, and every one is accepted."""
    model = released_model(replace(SHAPE, layers=2), seed=3)
    shards: dict[str, dict[str, torch.Tensor]] = {}
    for revision in REVISIONS:
        if revision.name in ("PT-native", "Paddle", "in-memory"):
            source, target = tmp_path / revision.name, tmp_path / f"{revision.name}-small"
            source.mkdir()
            revision.write(model, source)
            compress(source, target, Options(), (), lambda _: None)
            files = sorted(target.glob("*.safetensors"))
            shards[revision.name] = {
                name: tensor for file in files for name, tensor in load_file(file).items()
            }
            assert load(target, torch.float32, "cpu")(torch.arange(300, 330), None, None).isfinite().all()
    reference = shards.pop("PT-native")
    for found in shards.values():
        assert found.keys() == reference.keys()
        assert all(torch.equal(tensor, reference[name]) for name, tensor in found.items())
