"""The measurements' own way through a GPU, on a fake one: a rented one's time is short."""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.gpu import correctness as gpu_correctness
from bench.gpu import correctness_steps as gpu_correctness_steps
from bench.gpu import kernels as gpu_kernels
from bench.gpu import model as gpu_model
from bench.gpu.clock import WallClock, Work
from bench.gpu.rows import Row, Rows, Spread, Status, read_rows
from bench.gpu.section import SECTIONS, measure
from bench.gpu.setting import FULL, SMALL, Setting
from bench.gpu.targets import (
    DISPATCH_SHARE,
    GEMM_BASELINE,
    GEMM_PEAK,
    GEMV_BANDWIDTH,
    REPORT_RATE,
    VERDICT_TIME,
    WEIGHTS,
)
from engine.serving.decoding import DecodeBatch, Decoding
from tests.engine.kernels.cuda_shim.fake_gpu import fake_gpu
from tests.engine.kernels.cuda_shim.harness import Shim

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]  # the first run compiles with sanitizers

SIZES = dataclasses.replace(
    SMALL, few=(1,), many=70, repeats=1, streams=(1,), batches=(1,), steps=1, prompt=8
)


class Once(WallClock):
    """Whatever is timed is done once: how long it takes says nothing here."""

    def spread(self, work: Work, repeats: int) -> Spread:
        """As above."""
        del repeats
        return Spread.of([self.waited(work, 0)])

    def busy(self, work: Work, repeats: int, before: Work | None = None) -> Spread:
        """As above."""
        del repeats
        return Spread.of(self.computed(work, 1, before))


class OnDevice(torch.Generator):
    """Numbers for the fake GPU are drawn by the processor."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where the numbers go."""
        return torch.device("cuda:0")


@pytest.fixture
def setting(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setting]:
    """As a section's process makes it for a GPU, at the smallest size."""
    assert pytestconfig.cache is not None
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 1 << 30)
    monkeypatch.setattr(gpu_kernels, "DRAWS", 1)
    monkeypatch.setattr(gpu_kernels, "MANY_DRAWS", 1)
    with fake_gpu(Shim(pytestconfig.cache.mkdir("cuda_shim")), monkeypatch):
        rows = Rows("here", tmp_path / "rows")
        yield Setting(torch.device("cuda:0"), Once(), OnDevice(), SIZES, rows, seed=0)


def measured(section: str, setting: Setting, tmp_path: Path) -> list[Row]:
    """Rows of a section, none of which failed or was skipped."""
    with torch.inference_mode():
        parts = SECTIONS[section](setting)
        assert measure(parts, setting, tmp_path / "begun", time.monotonic() + 300) == 0
    rows = read_rows(setting.rows.path)
    assert [row for row in rows if row.status is not Status.OK] == []
    return rows


def test_the_kernels_are_timed(setting: Setting, tmp_path: Path) -> None:
    """Each by itself, and what has a target among them."""
    rows = measured("kernels", setting, tmp_path)

    assert {row.name for row in rows} >= {GEMV_BANDWIDTH, GEMM_PEAK, GEMM_BASELINE, DISPATCH_SHARE}


def test_the_model_is_timed(setting: Setting, tmp_path: Path) -> None:
    """With random codes, a verdict and a text through a captured graph."""
    rows = measured("model", setting, tmp_path)

    assert {row.name for row in rows} >= {WEIGHTS, VERDICT_TIME, REPORT_RATE, "prompt"}


def test_the_kernels_are_checked(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind, those that only a GPU runs among them: no value differs."""
    monkeypatch.setattr(gpu_correctness, "TOKENS", (1, 9))
    monkeypatch.setattr(gpu_correctness, "EXPERT_TOKENS", (1, 20))
    monkeypatch.setattr(gpu_correctness, "WIDTHS", {"text": (256, 128)})
    monkeypatch.setattr(gpu_correctness_steps, "TOKENS", (1, 9))

    rows = measured("correctness", setting, tmp_path)

    assert [row for row in rows if row.value] == []
    kinds = {row.note.partition(":")[0] for row in rows}
    assert kinds >= {
        "linear",
        "experts",
        "experts of the 28B model, text",
        "encode",
        *gpu_correctness_steps.KINDS,
    }


def test_the_28b_model_sees_and_writes_in_a_captured_graph(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shapes alone: every argument of every kernel fits, and no step waits for the host."""
    assert pytestconfig.cache is not None
    shim, sizes = Shim(pytestconfig.cache.mkdir("cuda_shim")), dataclasses.replace(FULL, streams=(1, 16))
    with fake_gpu(shim, monkeypatch, torch.device("meta")) as gpu, torch.inference_mode():
        rows = Rows("model", tmp_path / "rows")
        setting = Setting(torch.device("cuda:0"), Once(), OnDevice(), sizes, rows, seed=0)
        network = gpu_model.network_of(setting)
        patches = torch.empty(1024, network.config.vision.patch_dim, device=setting.device)
        assert network.see(patches, [(1, 32, 32)]).shape == (256, network.config.text.hidden_size)
        for streams in sizes.streams:
            pool, tables = gpu_model.pool_of(network, 576, streams)
            lengths = torch.full((streams,), 512, device=setting.device)
            table = torch.tensor(tables, device=setting.device)
            logits = Decoding(network, pool)(DecodeBatch(lengths, lengths, table, lengths))
            assert logits.shape == (streams, network.config.text.vocab_size)
            assert logits.is_cuda

    passes = gpu.launched["route"] // (network.config.text.num_layers - 1)
    assert (gpu.graphs, passes) == (2, 6)
    assert gpu.launched["dispatch"] == gpu.launched["combine"] == gpu.launched["route"]
    held = (*network.parameters(), *network.buffers())
    assert sum(each.numel() * each.element_size() for each in held) < 9.5e9
