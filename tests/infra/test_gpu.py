"""A worker that is told to use a GPU where there is none says so at once."""

import re
import subprocess
import sys

import pytest

from services.infra.process.errors import DeviceMissing
from services.infra.process.gpu import require_gpu
from services.infra.process.run import EXIT_CONFIGURATION
from tests.conftest import ROOT


def test_a_worker_without_its_gpu_ends_before_torch_is_loaded() -> None:
    """In words, with what to do; torch alone takes seconds to load."""
    worker = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "worker"],
        cwd=ROOT,
        env={"LYNCEUS_DEVICE": "cuda:0", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert worker.returncode == EXIT_CONFIGURATION
    assert "cuda:0 was asked for, and " in worker.stderr
    assert "set LYNCEUS_DEVICE=cpu" in worker.stderr
    imported = set(re.findall(r"\| +([\w.]+)$", worker.stderr, re.MULTILINE))
    assert "pydantic" in imported
    assert "torch" not in imported


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_without_a_gpu_in_the_settings_none_is_looked_for(device: str) -> None:
    """The engine falls back to the processor itself."""

    def count() -> int:
        pytest.fail("the driver was asked")

    require_gpu(device, count)


def test_a_driver_without_a_card_is_told_apart() -> None:
    """As in a container that was started without the second compose file."""
    with pytest.raises(DeviceMissing, match="has no GPU to give") as caught:
        require_gpu("cuda", lambda: 0)
    assert "compose.gpu.yml" in str(caught.value.hint)
    require_gpu("cuda", lambda: 1)
