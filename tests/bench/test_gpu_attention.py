"""The measurements say which of torch's ways attention took."""

from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.gpu.attention import attention
from bench.gpu.clock import WallClock
from bench.gpu.network import random_network
from bench.gpu.rows import Row, Rows, read_rows
from bench.gpu.setting import SMALL, WINDOW_BITS, Setting


def shares(folder: Path, *backends: SDPBackend) -> list[Row]:
    """What is written down where torch may take these."""
    device = torch.device("cpu")
    draw = torch.Generator(device).manual_seed(3)
    rows = Rows("model", folder / "rows")
    setting = Setting(device, WallClock(), draw, SMALL, rows, seed=3)
    network = random_network(SMALL.config, WINDOW_BITS, torch.float32, draw)
    with torch.inference_mode(), sdpa_kernel(list(backends)):
        attention(setting, network)
    return read_rows(rows.path)


def test_what_is_computed_step_by_step_is_told_from_fused_kernels(tmp_path: Path) -> None:
    """A whole prompt, a piece behind it, a tree of answers; a next token may be our own kernels'."""
    fused = shares(tmp_path, SDPBackend.FLASH_ATTENTION)
    stepwise = shares(tmp_path, SDPBackend.MATH)

    assert [row.value for row in fused[:3]] == [100, 100, 100]
    assert {row.note for row in fused[:3]} == {"flash_attention_for_cpu"}
    assert [row.value for row in stepwise[:3]] == [0, 0, 0]
    assert {row.note for row in stepwise[:3]} == {"attention_math"}
