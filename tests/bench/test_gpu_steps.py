"""What only a GPU runs, on the CUDA sources compiled for the CPU: no GPU's time is for finding slips here."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench.gpu import correctness_steps as steps
from bench.gpu import kernels as gpu_kernels
from bench.gpu.checks import Check, differing
from bench.gpu.clock import WallClock
from bench.gpu.kernels import GEMV, Layer, Limits, Recorder
from bench.gpu.rows import Rows, Status, read_rows
from bench.gpu.setting import SMALL, Setting
from bench.gpu.targets import DISPATCH_SHARE, GEMM_BASELINE, GEMM_PEAK, GEMV_BANDWIDTH
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
    """What is kept before the launcher tells the kernels of a call apart, few tokens and many."""
    monkeypatch.setattr(handles, "_launcher", lambda _: setting.launcher)
    monkeypatch.setattr(gpu_kernels, "ops_of", lambda _: ops)
    sizes = dataclasses.replace(SMALL, few=(1,), many=70, repeats=1)
    small = dataclasses.replace(setting, sizes=sizes)
    object.__setattr__(small, "shim", setting.shim)
    monkeypatch.setattr(gpu_kernels, "measure_limits", lambda _: Limits(1e9, 1e12, 1e12))
    monkeypatch.setattr(gpu_kernels, "DRAWS", 2)

    gpu_kernels.few("text", 128, small)
    gpu_kernels.many("text", 128, small)

    rows = read_rows(setting.rows.path)
    assert {row.status for row in rows} == {Status.OK}
    assert {row.name for row in rows} == {GEMV_BANDWIDTH, GEMM_PEAK, GEMM_BASELINE, DISPATCH_SHARE}


def test_a_kernel_launched_again_computes_the_same(
    setting: ShimSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a dispatch, which sets the counters back: they are as the first time left them."""
    monkeypatch.setattr(handles, "_launcher", lambda _: setting.launcher)
    monkeypatch.setattr(gpu_kernels, "ops_of", lambda _: ops)
    layer = Layer(setting, 128)
    recorder = Recorder(layer.held.launcher)
    x, weights = setting.normal(1, layer.hidden), setting.weights(1, layer.top_k)
    (chosen,) = layer.choices(1, 1)
    ops.run_experts(layer.held._replace(launcher=recorder), x, chosen, weights)
    names = [launch.kernel.name for launch, _ in recorder.kept]
    assert names == ["dispatch", "quantize", *GEMV, "combine"]
    results = recorder.kept[2][1]["results"]
    assert isinstance(results, torch.Tensor)
    expected = results.clone()
    results.zero_()

    recorder.again(("dispatch",))
    recorder.again(GEMV)

    assert torch.equal(results, expected)
