"""What only a GPU runs, on the CUDA sources compiled for the CPU: no GPU's time is for finding slips here."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench import gpu_correctness_steps as steps
from bench import gpu_kernels
from bench.gpu_clock import WallClock
from bench.gpu_correctness import Check, differing
from bench.gpu_kernels import GEMM, Layer, Limits
from bench.gpu_rows import Rows, read_rows
from bench.gpu_setting import SMALL, Setting
from bench.gpu_targets import DISPATCH_SHARE, GEMM_BASELINE, GEMM_PEAK, GEMV_BANDWIDTH
from engine.kernels.cuda import handles, ops
from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.kernels.cuda_shim.launcher import OnShim


class ShimSetting(Setting):
    """The processor's, with the CUDA kernels."""

    shim: Shim

    @property
    def launcher(self) -> OnShim:
        """As above."""
        return OnShim(self.shim)

    @property
    def on_gpu(self) -> bool:
        """It goes the way of a GPU."""
        return True

    @property
    def dtype(self) -> torch.dtype:
        """The one that the kernels' own tests have compiled for."""
        return torch.float32


class WallEvent:
    """A time stamp in place of the GPU's."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing, "a stamp without a time"

    def record(self) -> None:
        """Take the time."""
        self.stamp = time.perf_counter()

    def elapsed_time(self, later: "WallEvent") -> float:
        """Milliseconds until a later stamp."""
        return (later.stamp - self.stamp) * 1e3


@pytest.fixture
def setting(tmp_path: Path, pytestconfig: pytest.Config) -> ShimSetting:
    """With the compiled sources of the kernels' own tests."""
    assert pytestconfig.cache is not None
    device = torch.device("cpu")
    draw = torch.Generator(device).manual_seed(4)
    made = ShimSetting(device, WallClock(), draw, SMALL, Rows("correctness", tmp_path / "rows"), seed=4)
    object.__setattr__(made, "shim", Shim(pytestconfig.cache.mkdir("cuda_shim")))
    return made


@pytest.mark.parametrize("name", steps.KINDS)
def test_a_step_agrees_with_its_reference(
    name: str, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer tokens than on a GPU, the same checks."""
    monkeypatch.setattr(steps, "TOKENS", (1, 9))
    kind: Callable[[Setting], Iterator[Check]] = steps.KINDS[name]

    counted = {check.what: differing(check) for check in kind(setting)}

    assert set(counted.values()) == {0}, counted


def test_kernels_are_timed_one_by_one(setting: ShimSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopwatch before the launcher tells the kernels of a call apart, few tokens and many."""
    monkeypatch.setattr(handles, "_launcher", lambda _: setting.launcher)
    monkeypatch.setattr(gpu_kernels, "ops_of", lambda _: ops)
    monkeypatch.setattr(torch.cuda, "Event", WallEvent)
    sizes = dataclasses.replace(SMALL, few=(1,), many=70, repeats=1)
    small = dataclasses.replace(setting, sizes=sizes)
    object.__setattr__(small, "shim", setting.shim)
    limits = Limits(1e9, 1e12, 1e12)
    layer = Layer(small, 128)

    gpu_kernels.few(small, layer, "text", limits)
    gpu_kernels.many(small, layer, "text", limits)

    named = {row.name for row in read_rows(setting.rows.path)}
    assert named == {GEMV_BANDWIDTH, GEMM_PEAK, GEMM_BASELINE, DISPATCH_SHARE}
    assert layer.watch is not None
    last = [name for name, _, _ in layer.watch.marks[-5:]]
    assert last == ["dispatch", "quantize", *GEMM, "combine"]
