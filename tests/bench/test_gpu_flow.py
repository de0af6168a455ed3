"""The measurements on a GPU as a program, tried on the processor at a tiny size."""

from pathlib import Path

import pytest
import torch

from bench.full_size.layout import CONFIG, formats_of
from bench.gpu import __main__ as gpu
from bench.gpu.clock import WallClock
from bench.gpu.correctness import TOKENS, parts
from bench.gpu.kernels import decoded
from bench.gpu.network import TINY, random_network, weight_bytes
from bench.gpu.rows import Rows, read_rows
from bench.gpu.setting import SMALL, WINDOW_BITS, Setting
from engine.checkpoint.config import ModelConfig
from engine.checkpoint.formats import Format, parts_of
from engine.checkpoint.tensors import Manifest
from engine.kernels.cuda.support import Fault
from engine.model.loading import placed
from engine.model.network import ErnieVL
from engine.quant.quantizer import TwoBit


def test_without_a_gpu_it_says_why_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2, and no JSON that could be taken for a measurement."""
    fault = Fault("torch sees no GPU", "install the driver")
    monkeypatch.setattr(gpu, "device_fault", lambda _: fault)
    out = tmp_path / "gpu.json"

    assert gpu.main(["--out", str(out)]) == 2
    assert "no GPU to measure: torch sees no GPU (install the driver)" in capsys.readouterr().err
    assert not out.exists()


def setting(path: Path) -> Setting:
    """A tiny one on the processor."""
    device = torch.device("cpu")
    draw = torch.Generator(device).manual_seed(3)
    return Setting(device, WallClock(), draw, SMALL, Rows("correctness", path), seed=3)


def test_a_kernel_that_computes_something_else_is_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The check itself: a single value that is off by one step shows."""
    from engine.kernels.cpu import ops

    right = ops.linear

    def wrong(*given: object, **named: object) -> torch.Tensor:
        out = right(*given, **named)  # type: ignore[arg-type]
        out[0, 0] += 1
        return out

    monkeypatch.setattr(ops, "linear", wrong)
    made = setting(tmp_path / "rows")
    parts(made)["linear"].run(made)

    assert [row.value for row in read_rows(tmp_path / "rows")] == [1.0] * 2 * len(TOKENS)


def test_random_weights_are_in_the_formats_that_quantizing_gives() -> None:
    """Experts in 2 bits, matrices in 4 or 8, and all that is computed is finite."""
    network = random_network(TINY, 16, torch.float32, torch.Generator().manual_seed(1))

    with torch.inference_mode():
        logits = network(torch.arange(20), None, None)

    assert logits.isfinite().all()
    assert 0.1 < logits.std() < 10
    assert weight_bytes(network) < network.weight_count


def test_the_28b_model_fits_its_target_before_anything_is_allocated() -> None:
    """Bytes of all parts that would be made on the device: under 9.5 GB."""
    with torch.device("meta"):
        network = ErnieVL(ModelConfig.from_json(CONFIG))
    manifest = Manifest(formats_of(network), WINDOW_BITS)
    pieces = [piece for pieces in placed(network, manifest).values() for piece in pieces]
    total = 0
    for piece in {piece.key: piece for piece in pieces}.values():
        for part in parts_of(manifest.formats.get(piece.key, Format.PLAIN), piece.shape).values():
            size = 2 if part.dtype is None else part.dtype.itemsize
            total += size * torch.Size(part.shape).numel()

    assert 7e9 < total < 9.5e9


def test_the_baseline_decodes_to_the_weights_of_the_format() -> None:
    """Else it would be faster or slower than what it stands for."""
    stack = torch.randint(0, 256, (2, 2, 32, 128), dtype=torch.uint8)
    scales, signs = torch.rand(2, 256).half(), torch.ones(128, dtype=torch.int8)

    class Layer:
        gate_up = down = (stack, scales, signs)

    matrix, _ = decoded(Layer(), 1, torch.float32)  # type: ignore[arg-type]

    assert torch.equal(matrix, TwoBit(stack[1], scales[1], signs, WINDOW_BITS).rotated())
