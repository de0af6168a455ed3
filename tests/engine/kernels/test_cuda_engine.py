"""The whole engine on a fake GPU: the answers of the processor, through the CUDA kernels.

Torch's own operations are the processor's, our kernels are compiled from the CUDA sources, and a captured
graph is replayed as a GPU does it. What only a real one has, its own libraries and its speed, is not here.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from engine import Engine, EngineConfig, Image, Prompt, Sampling, Scores
from engine.compression import compress
from engine.compression.plan import Options
from engine.kernels.cuda.graphs import Graphs
from engine.kernels.cuda.ops import KERNELS
from tests.engine.kernels.cuda_shim.fake_gpu import FakeGpu, fake_gpu
from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.tiny import Shape, random_pixels, write_checkpoint
from tests.repository import ROOT

pytestmark = pytest.mark.timeout(400)  # the first run compiles with sanitizers

SHAPE = Shape(layers=2, hidden_size=128, head_dim=32, expert_sizes=(128, 128), experts=2, top_k=1)
CHOICES = ("scratch", "pit", "good")
PROMPT = Prompt(("Inspect the part.", Image(random_pixels(np.random.default_rng(5), 56, 56))))
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
REPORT = Sampling(max_tokens=3, reasoning_max_tokens=1)


@pytest.fixture(scope="session")
def plain_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random one with its weights as they are."""
    return write_checkpoint(tmp_path_factory.mktemp("plain"), SHAPE, seed=3)


@pytest.fixture(scope="session")
def small_checkpoint(plain_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its experts in 2 bits, and all else in 4 where that fits."""
    folder = tmp_path_factory.mktemp("small")
    compress(plain_checkpoint, folder / "two-bit", Options(16, 4), (), lambda _: None)
    return folder / "two-bit"


@pytest.fixture
def gpu(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    """For the time of a test."""
    with fake_gpu(shim, monkeypatch) as made:
        yield made


def config(checkpoint: Path, device: str, kernels: Path) -> EngineConfig:
    """The same on both devices."""
    return EngineConfig(
        checkpoint, device=device, dtype="float32", cache_bytes=1 << 24, step_tokens=512, kernel_cache=kernels
    )


class Answers(NamedTuple):
    """What an engine says to the same requests."""

    scores: Scores
    reports: tuple[tuple[str, str], ...]


def answers(config: EngineConfig, reports: int) -> Answers:
    """A verdict, then so many reports side by side: a thought, and an answer that a schema binds."""
    with Engine(config) as engine:
        scores = engine.score(PROMPT, CHOICES).result()
        prompts = [Prompt((f"{number}", *PROMPT.parts)) for number in range(reports)]
        running = [engine.generate(each, REPORT, thinking=True, schema=SCHEMA) for each in prompts]
        written = [each.result() for each in running]
    return Answers(scores, tuple((each.reasoning, each.content) for each in written))


def distance(found: Scores, expected: Scores) -> float:
    """The largest, between log-probabilities of choices."""
    pairs = zip(found.log_probabilities, expected.log_probabilities, strict=True)
    return max(abs(one - other) for one, other in pairs)


def best(scores: Scores) -> int:
    """The likeliest choice."""
    return max(range(len(CHOICES)), key=scores.log_probabilities.__getitem__)


@pytest.mark.slow
def test_a_gpu_with_two_bits_answers_as_the_processor_does(
    small_checkpoint: Path, gpu: FakeGpu, tmp_path: Path
) -> None:
    """A verdict on a picture and a report, through our kernels and a captured graph."""
    expected = answers(config(small_checkpoint, "cpu", tmp_path), reports=1)
    assert (gpu.launched.total(), gpu.graphs) == (0, 0)

    found = answers(config(small_checkpoint, "cuda:0", tmp_path), reports=1)

    assert distance(found.scores, expected.scores) < 1e-4
    assert found.reports == expected.reports
    assert gpu.launched.keys() == {kernel.name for kernel in KERNELS} - {"encode"}
    assert (gpu.graphs, gpu.replays >= 1) == (1, True)


@pytest.mark.parametrize("which", ["tiny", pytest.param("starter", marks=pytest.mark.slow)])
def test_a_gpu_answers_without_two_bits_too(
    which: str, plain_checkpoint: Path, gpu: FakeGpu, tmp_path: Path
) -> None:
    """A verdict and reports: the captured graph has the routed experts in plain numbers."""
    checkpoint, reports = (plain_checkpoint, 2) if which == "tiny" else (ROOT / "models" / "starter", 1)
    expected = answers(config(checkpoint, "cpu", tmp_path), reports)

    found = answers(config(checkpoint, "cuda:0", tmp_path), reports)

    assert distance(found.scores, expected.scores) < 1e-4
    assert found.reports == expected.reports
    assert gpu.replays >= 1


@pytest.mark.slow
def test_in_bfloat16_a_gpu_answers_nearly_the_same(
    small_checkpoint: Path, gpu: FakeGpu, tmp_path: Path
) -> None:
    """The precision that a GPU has unless it is told otherwise: 8 bits of a hidden state instead of 24."""
    exact = config(small_checkpoint, "cpu", tmp_path)
    expected = answers(exact, reports=0)

    found = answers(replace(exact, device="cuda:0", dtype="auto"), reports=0)

    assert gpu.launched
    assert best(found.scores) == best(expected.scores)
    assert 0 < distance(found.scores, expected.scores) < 1.0


@torch.inference_mode()
def test_a_replayed_graph_sees_new_inputs_and_old_numbers(gpu: FakeGpu) -> None:
    """The fake GPU itself: what a function computed on the host stays as it was in the capture."""
    hidden = {"number": 1.0}
    weight = torch.tensor([2.0, 3.0], device="cuda:0")
    graphs = Graphs(
        lambda x: (
            (x * weight).index_fill(0, torch.zeros(1, dtype=torch.long, device=x.device), 0)
            + hidden["number"]
        )
    )

    first = graphs.run(torch.tensor([1.0, 1.0], device="cuda:0"))
    hidden["number"] = 5.0
    second = graphs.run(torch.tensor([4.0, 10.0], device="cuda:0"))

    assert (first.tolist(), second.tolist()) == ([1.0, 4.0], [1.0, 31.0])
    assert (gpu.graphs, gpu.replays) == (1, 2)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (lambda x: x[x > 0], "nonzero reads"),
        (lambda x: x * x.sum().item(), "item reads"),
        (lambda x: x if x.sum() > 0 else -x, "item reads"),
        (lambda x: x.nonzero(), "nonzero reads"),
        (lambda x: x + torch.tensor([1.0, 2.0], device=x.device), "moves between host and GPU"),
        (lambda x: x.cpu().to(x.device), "between host and GPU"),
        (lambda x: x + torch.ones(2), "on tensors of"),
    ],
    ids=["mask", "item", "branch", "nonzero", "upload", "download", "two devices"],
)
def test_a_capture_refuses_what_waits_for_the_host(gpu: FakeGpu, function: object, fault: str) -> None:
    """As a real one does: so the engine's step, which is captured above, does nothing of the kind."""
    del gpu
    with pytest.raises(AssertionError, match=fault):
        Graphs(function).run(torch.ones(2).to("cuda:0"))  # type: ignore[arg-type]
