"""The whole engine on a GPU that is only pretended: the answers of the processor, through the CUDA kernels.

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
from PIL import Image as Picture

from engine import Engine, EngineConfig, Image, Prompt, Sampling, Scores
from engine.compression import compress
from engine.compression.plan import Options
from engine.kernels import cpu
from engine.kernels.cuda.graphs import Graphs
from tests.engine.kernels.cuda_shim.harness import Shim
from tests.engine.kernels.cuda_shim.pretended import PretendedGpu, pretended_gpu
from tests.engine.tiny import Shape, random_pixels, write_checkpoint
from tests.repository import ROOT

pytestmark = pytest.mark.timeout(400)  # the first run compiles with sanitizers

SHAPE = Shape(layers=3, hidden_size=128, head_dim=32, expert_sizes=(128, 128), experts=2, top_k=1)
CHOICES = ("scratch", "pit", "pit hole", "good")
PROMPT = Prompt(("Inspect the part.", Image(random_pixels(np.random.default_rng(5), 56, 84))))
TOKENS = 3


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random one: its experts in 2 bits, all else in 4 where it fits."""
    folder = tmp_path_factory.mktemp("pretended")
    source = write_checkpoint(folder / "source", SHAPE, seed=3)
    compress(source, folder / "small", Options(16, 4), (), lambda _: None)
    return folder / "small"


@pytest.fixture
def gpu(shim: Shim, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGpu]:
    """For the time of a test."""
    with pretended_gpu(shim, monkeypatch) as made:
        yield made


def config(checkpoint: Path, device: str, kernels: Path) -> EngineConfig:
    """The same on both devices."""
    return EngineConfig(
        checkpoint, device=device, dtype="float32", cache_bytes=1 << 24, step_tokens=512, kernel_cache=kernels
    )


class Answers(NamedTuple):
    """What an engine says to the same requests."""

    scores: Scores
    texts: tuple[str, ...]


def answers(config: EngineConfig, prompt: Prompt, texts: int) -> Answers:
    """A verdict, then so many texts side by side, of different lengths."""
    with Engine(config) as engine:
        scores = engine.score(prompt, CHOICES).result()
        lengths = range(TOKENS, TOKENS - texts, -1)
        running = [
            engine.generate(Prompt((f"{number}", *prompt.parts)), Sampling(max_tokens=number))
            for number in lengths
        ]
        return Answers(scores, tuple(each.result().content for each in running))


def distance(found: Scores, expected: Scores) -> float:
    """The largest, between log-probabilities of choices."""
    pairs = zip(found.log_probabilities, expected.log_probabilities, strict=True)
    return max(abs(one - other) for one, other in pairs)


def best(scores: Scores) -> int:
    """The likeliest choice."""
    return max(range(len(CHOICES)), key=scores.log_probabilities.__getitem__)


@pytest.mark.slow
def test_a_gpu_answers_as_the_processor_does(checkpoint: Path, gpu: PretendedGpu, tmp_path: Path) -> None:
    """A verdict on a picture; then two texts, which end one after the other: two captured shapes."""
    expected = answers(config(checkpoint, "cpu", tmp_path), PROMPT, texts=2)
    assert (gpu.launched.total(), gpu.graphs) == (0, 0)

    found = answers(config(checkpoint, "cuda:0", tmp_path), PROMPT, texts=2)

    assert distance(found.scores, expected.scores) < 1e-4
    assert found.texts == expected.texts
    assert {"expert_gemv", "expert_gate_up", "route", "dispatch", "combine", "linear4"} <= gpu.launched.keys()
    assert gpu.graphs == 2
    assert gpu.replays >= TOKENS - 1


@pytest.mark.slow
def test_in_bfloat16_a_gpu_answers_nearly_the_same(
    checkpoint: Path, gpu: PretendedGpu, tmp_path: Path
) -> None:
    """The precision that a GPU has unless it is told otherwise: 8 bits of a hidden state instead of 24."""
    exact = config(checkpoint, "cpu", tmp_path)
    expected = answers(exact, PROMPT, texts=0)

    found = answers(replace(exact, device="cuda:0", dtype="auto"), PROMPT, texts=0)

    assert gpu.launched
    assert best(found.scores) == best(expected.scores)
    assert 0 < distance(found.scores, expected.scores) < 1.0


@pytest.mark.slow
def test_the_starter_in_two_bits_judges_a_sample_as_its_reference_does(
    gpu: PretendedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole verdict of the model that ships with the repository.

    The processor's own kernels take several steps of a layer in one and round in another order, by which an
    activation on the edge falls to the next integer: they are less close to both than those to one another.
    """
    compress(ROOT / "models" / "starter", tmp_path / "starter", Options(16, 8), (), lambda _: None)
    picture = Picture.open(ROOT / "samples" / "surface" / "SF-001.png").convert("RGB").resize((84, 84))
    prompt = Prompt(("Inspect the surface.", Image(np.asarray(picture))))
    on_cpu = config(tmp_path / "starter", "cpu", tmp_path)

    found = answers(replace(on_cpu, device="cuda:0"), prompt, texts=0).scores
    kernels = answers(on_cpu, prompt, texts=0).scores
    monkeypatch.setattr(cpu, "available", lambda: False)
    reference = answers(on_cpu, prompt, texts=0).scores

    assert distance(found, reference) < 1e-4
    assert distance(found, kernels) < 0.1
    assert {best(found), best(kernels), best(reference)} == {best(found)}
    assert gpu.launched.keys() >= {"expert_gate_up", "expert_down", "linear8_many"}


@torch.inference_mode()
def test_a_replayed_graph_sees_new_inputs_and_old_numbers(gpu: PretendedGpu) -> None:
    """The pretended GPU itself: what a function computed on the host stays as it was in the capture."""
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
def test_a_capture_refuses_what_waits_for_the_host(gpu: PretendedGpu, function: object, fault: str) -> None:
    """As a real one does: so the engine's step, which is captured above, does nothing of the kind."""
    del gpu
    with pytest.raises(AssertionError, match=fault):
        Graphs(function).run(torch.ones(2).to("cuda:0"))  # type: ignore[arg-type]
