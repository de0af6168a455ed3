"""Killed in the middle or out of room: nothing that loads is left, and the same command goes on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import CheckpointInvalid
from engine.checkpoint.tensors import StoredTensors
from engine.model import load

pytestmark = pytest.mark.slow

SCRIPT = """
import os, resource, signal, sys
from pathlib import Path
import torch
import engine.compression.plan as plan
from engine import Prompt
from engine.compression import Example, Options, compress
torch.set_num_threads(1)
plan.PART_WEIGHTS = 40_000
source, target, kill_at, largest = sys.argv[1:]
if int(largest):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))

def tell(step):
    if int(kill_at) and step.done >= int(kill_at):
        os.kill(os.getpid(), signal.SIGKILL)

example = Example(Prompt(("Inspect the part.",)), thinking=False, answer="scratch")
compress(Path(source), Path(target), Options(), (example,), tell)
"""


def _run(source: Path, target: Path, kill_at: int = 0, largest: int = 0) -> subprocess.CompletedProcess[str]:
    """Compress in a process of its own, with small portions; `largest` is the room a file has, in bytes."""
    command = [sys.executable, "-c", SCRIPT, str(source), str(target), str(kill_at), str(largest)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _bytes(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_killed_twice_and_resumed_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    """A kill -9 inside the first and inside the last sparse layer changes no byte of any file."""
    assert _run(source, tmp_path / "whole").returncode == 0
    for moment in (100_000, 350_000):
        assert _run(source, tmp_path / "killed", kill_at=moment).returncode == -signal.SIGKILL
        assert not (tmp_path / "killed").exists()
    assert _run(source, tmp_path / "killed").returncode == 0

    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_out_of_room_leaves_nothing_that_loads(source: Path, tmp_path: Path) -> None:
    """The error says so in words; with room again the same command finishes."""
    failed = _run(source, tmp_path / "target", largest=150_000)

    assert "CheckpointUnwritten" in failed.stderr
    assert not (tmp_path / "target").exists()
    with pytest.raises(CheckpointInvalid):
        load(tmp_path / "target.unfinished", torch.float32, "cpu")
    assert _run(source, tmp_path / "target").returncode == 0
    assert StoredTensors(tmp_path / "target").names
