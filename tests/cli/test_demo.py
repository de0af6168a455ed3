"""The demo as a user runs it: whole, interrupted, and broken; afterwards nothing runs any more."""

import json
import signal
from pathlib import Path

import pytest

from services.cli.demo.samples import load_samples
from services.cli.demo.summary import Summary
from services.cli.places import SAMPLES
from tests.cli.conftest import StartLynceus, running_in
from tests.conftest import WaitUntil

START_SECONDS = 150.0
END_SECONDS = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_sample_gets_its_verdict_and_every_escalated_one_its_report(
    start_lynceus: StartLynceus, own_directory: Path
) -> None:
    """From the camera's folder to the page that is signed, with the checkpoint that ships."""
    demo = start_lynceus("demo")
    output, messages = demo.communicate()

    assert demo.returncode == 0, messages
    summary = Summary.model_validate(json.loads((own_directory / "summary.json").read_text(encoding="utf-8")))
    samples = load_samples(SAMPLES)
    assert summary.frames == len(samples) == sum(summary.decisions.values())
    assert all(output.count(sample.part_id) >= 2 for sample in samples)
    assert "…" not in output
    pages = list((own_directory / "reports").glob("*.html"))
    assert len(pages) == summary.reports.written >= 3
    assert "22 held back" in output
    assert (own_directory / "own-part" / "recipes" / "cookies.yaml").is_file()
    assert {"p50", "p95", "p99"} == set(summary.milliseconds["verdict_total"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize(
    "moment", ["result-writer.log", "gateway.log"], ids=["while-starting", "while-inspecting"]
)
def test_an_interrupted_demo_leaves_nothing_running(
    start_lynceus: StartLynceus,
    own_directory: Path,
    wait_until: WaitUntil,
    moment: str,
    number: signal.Signals,
) -> None:
    """Whenever it comes, the exit code is that of an interrupt and every process has ended."""
    demo = start_lynceus("demo")
    wait_until((own_directory / "logs" / moment).exists, seconds=START_SECONDS)
    assert len(running_in(own_directory)) >= 5
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=END_SECONDS)

    assert demo.returncode == 130
    assert "Interrupted" in output


def test_a_demo_whose_worker_cannot_start_says_why(
    start_lynceus: StartLynceus, own_directory: Path, tmp_path: Path
) -> None:
    """The worker's own words, its log, and a failing exit code."""
    demo = start_lynceus("demo", "--checkpoint", str(tmp_path / "nothing"))
    _, messages = demo.communicate(timeout=START_SECONDS)

    assert demo.returncode == 1
    assert "worker has ended" in messages
    assert "config.json is missing" in messages
    assert str(own_directory / "logs" / "worker.log") in messages
    assert "Traceback" not in messages
