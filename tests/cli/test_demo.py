"""The demo as a user runs it: whole, interrupted, and broken; afterwards nothing runs any more."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from services.cli.places import PROJECT_ROOT, SAMPLES
from services.cli.samples import load_samples
from services.cli.summary import Summary
from tests.conftest import WaitUntil

START_SECONDS = 100.0
END_SECONDS = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def demo_directory(tmp_path: Path) -> Iterator[Path]:
    """Where the demo writes; after the test no process may know this folder any more."""
    directory = tmp_path / "demo"
    yield directory
    assert running_in(directory) == []


def running_in(directory: Path) -> list[str]:
    """The command lines of all processes that speak of the folder in arguments, environment or place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            place = (process / "cwd").readlink()
        except OSError:
            continue
        words = b"\0".join((arguments, environment, bytes(place)))
        if process.name != str(os.getpid()) and bytes(directory) in words:
            found.append(arguments.replace(b"\0", b" ").decode())
    return found


class StartDemo(Protocol):
    """The type of the `start_demo` fixture."""

    def __call__(self, *options: str) -> subprocess.Popen[str]:
        """Starts the demo in the background, without a terminal."""


@pytest.fixture
def start_demo(demo_directory: Path) -> Iterator[StartDemo]:
    """Starts demos in `demo_directory`; one that a failed test left running is interrupted."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "services.cli", "demo", "--directory", str(demo_directory), *options]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for demo in started:
        demo.send_signal(signal.SIGINT)
        demo.communicate()


def test_every_sample_gets_its_verdict_and_every_escalated_one_its_report(
    start_demo: StartDemo, demo_directory: Path
) -> None:
    """From the camera's folder to the page that is signed, with the checkpoint that ships."""
    demo = start_demo()
    output, messages = demo.communicate()

    assert demo.returncode == 0, messages
    summary = Summary.model_validate(
        json.loads((demo_directory / "summary.json").read_text(encoding="utf-8"))
    )
    samples = load_samples(SAMPLES)
    assert summary.frames == len(samples) == sum(summary.decisions.values())
    assert all(output.count(sample.part_id) >= 2 for sample in samples)
    pages = list((demo_directory / "reports").glob("*.html"))
    assert len(pages) == summary.reports.written >= 3
    assert {"p50", "p95", "p99"} == set(summary.milliseconds["verdict_total"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize("moment", ["clerk.log", "gateway.log"], ids=["while-starting", "while-inspecting"])
def test_an_interrupted_demo_leaves_nothing_running(
    start_demo: StartDemo, demo_directory: Path, wait_until: WaitUntil, moment: str, number: signal.Signals
) -> None:
    """Whenever it comes, the exit code is that of an interrupt and every process has ended."""
    demo = start_demo()
    wait_until((demo_directory / "logs" / moment).exists, seconds=START_SECONDS)
    assert len(running_in(demo_directory)) >= 5
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=END_SECONDS)

    assert demo.returncode == 130
    assert "Interrupted" in output


def test_a_demo_whose_worker_cannot_start_says_why(
    start_demo: StartDemo, demo_directory: Path, tmp_path: Path
) -> None:
    """The worker's own words, its log, and a failing exit code."""
    demo = start_demo("--checkpoint", str(tmp_path / "nothing"))
    _, messages = demo.communicate(timeout=START_SECONDS)

    assert demo.returncode == 1
    assert "worker has ended" in messages
    assert "config.json is missing" in messages
    assert str(demo_directory / "logs" / "worker.log") in messages
    assert "Traceback" not in messages
