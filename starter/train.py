"""Trains the starter: first the vision tower by its masks, then tower and text together.

    python -m starter.train PICTURES CHECKPOINT [--minutes 80] [--threads N]

PICTURES is the folder that holds mcbt, deeppcb and bsdata; a run that was stopped resumes from CHECKPOINT.
The schedule follows the clock, so that a run ends when it was told to; it resumes from its last state.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, IterableDataset

from engine.model.cache import AttentionLayout
from engine.model.loading import save_plain
from engine.model.network import ErnieVL
from starter.auxiliary import PatchHead
from starter.examples import Batch, Example, ExampleMaker, pack
from starter.mixture import Mixture
from starter.network import new_network, starter_config, starter_images, write_configs
from starter.pictures.balance import LoadBalancer
from starter.pictures.vocabulary import build_tokenizer
from starter.validation import validate

STATE = "state.pt"
SECONDS_BETWEEN_CALLS = 60.0

ProgressCallback = Callable[[dict[str, float]], None]
"""Called with progress, steps and losses, and after each save the shares of right validation pictures."""


@dataclass(frozen=True)
class Plan:
    """How long and how hard; shares are of the whole time."""

    minutes: float
    batch_size: int = 32
    peak_rate: float = 1e-3
    warm_up: float = 0.02
    tower_only: float = 0.2
    weight_decay: float = 0.05
    average_decay: float = 0.998
    save_every_seconds: float = 240.0
    seed: int = 1
    threads: int | None = None
    """Of the processor; None leaves torch's choice."""

    def rate(self, progress: float) -> float:
        """Learning rate: a linear rise, then half a cosine down to a fiftieth."""
        if progress < self.warm_up:
            return self.peak_rate * max(progress / self.warm_up, 0.01)
        fall = min(1.0, (progress - self.warm_up) / (1 - self.warm_up))
        return self.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


class Stream(IterableDataset[Example]):
    """Endless examples, made in a process of its own."""

    def __init__(self, root: Path, tokenizer_file: Path, seed: int) -> None:
        self.mixture = Mixture.read(root)
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.seed = seed

    def __iter__(self) -> Iterator[Example]:
        """Draw for ever; the seed advances with the step the run resumes from."""
        cv2.setNumThreads(0)
        maker = ExampleMaker(self.tokenizer, starter_images())
        rng = np.random.default_rng(self.seed)
        while True:
            yield maker.make(*self.mixture.draw(rng))


class Trainer:
    """Owns the network, its moving average, the optimiser and the clock of one run."""

    def __init__(self, directory: Path, config: dict[str, Any], plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.directory, self.config, self.plan = directory, config, plan
        self.network = new_network(config)
        self.head = PatchHead(self.network.config.vision.hidden_size)
        self.balancer = LoadBalancer(self.network)
        self.average = deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98))
        self.seconds, self.steps = 0.0, 0

    def _groups(self) -> list[dict[str, Any]]:
        trained = [p for p in (*self.network.parameters(), *self.head.parameters()) if p.requires_grad]
        return [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.plan.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]

    @property
    def progress(self) -> float:
        """Share of the planned time that has been spent."""
        return self.seconds / (60 * self.plan.minutes)

    def step(self, batch: Batch) -> dict[str, float]:
        """Learn from one batch; returns its losses."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate(self.progress)
        with_text = self.progress >= self.plan.tower_only
        losses = losses_of(self.network, self.head, batch, with_text)
        self.optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.balancer.step()
        self._follow()
        self.steps += 1
        return {name: value.detach().item() for name, value in losses.items()}

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.plan.average_decay, (1 + self.steps) / (10 + self.steps))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)

    def save(self) -> None:
        """Write the average as a checkpoint, and all that is needed to resume."""
        save_plain(self.average, self.directory, torch.float16)
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "head": self.head.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "seconds": self.seconds,
            "steps": self.steps,
        }
        torch.save(state, self.directory / "state.new")
        (self.directory / "state.new").replace(self.directory / STATE)

    def resume(self) -> None:
        """Go on from the last saved state, if there is one."""
        if not (self.directory / STATE).exists():
            return
        state = torch.load(self.directory / STATE, weights_only=True)
        for name in ("network", "average", "head", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.seconds, self.steps = state["seconds"], state["steps"]


def losses_of(network: ErnieVL, head: PatchHead, batch: Batch, with_text: bool) -> dict[str, Tensor]:
    """The vision tower's loss, and with text the weighted cross-entropy of the targets, by example."""
    # On a CPU plain attention trains a third faster than fused, whose backward pass is slow there.
    with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        features = network.vision_model(batch.patches, batch.grids)
        losses = {"vision": head.loss(features, batch)}
        if with_text:
            images = network.resampler_model(features)
            hidden = network.hidden_states(
                batch.token_ids, batch.positions, images, AttentionLayout.causal(batch.lengths)
            )
            target = batch.weights.nonzero()[:, 0]
            logits = network.logits(hidden[target - 1])
            each = cross_entropy(logits.float(), batch.token_ids[target], reduction="none")
            losses["text"] = (each * batch.weights[target]).sum() / len(batch.lengths)
    return losses


def train(root: Path, directory: Path, plan: Plan, on_progress: ProgressCallback) -> None:
    """Train into `directory` from the real pictures under `root`; call `on_progress` once a minute."""
    directory.mkdir(parents=True, exist_ok=True)
    build_tokenizer(directory)
    tokenizer_file = directory / "tokenizer.json"
    config = starter_config(Tokenizer.from_file(str(tokenizer_file)))
    write_configs(directory, config)
    if plan.threads is not None:
        torch.set_num_threads(plan.threads)
    trainer = Trainer(directory, config, plan)
    trainer.resume()
    stream = Stream(root, tokenizer_file, plan.seed + trainer.steps)
    loader = DataLoader(stream, plan.batch_size, collate_fn=list, num_workers=1, prefetch_factor=4)
    saved = called = before = time.monotonic()
    for examples in loader:
        losses = trainer.step(pack(examples, trainer.network.config))
        now = time.monotonic()
        trainer.seconds += now - before
        before = now
        if now - called > SECONDS_BETWEEN_CALLS:
            called = now
            on_progress({"progress": trainer.progress, "steps": trainer.steps, **losses})
        if trainer.progress >= 1:
            break
        if now - saved > plan.save_every_seconds:
            trainer.save()
            on_progress(
                validate(trainer.average, ExampleMaker(stream.tokenizer, starter_images()), stream.mixture)
            )
            saved = before = time.monotonic()
    trainer.save()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, with a bar for the time and a line of figures a minute."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--minutes", type=float, default=80.0, help="how long to train in all")
    parser.add_argument("--threads", type=int, help="processor threads; all cores by default")
    options = parser.parse_args(arguments)
    console, columns = (
        Console(),
        (TextColumn("training"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=1.0)

        def show(figures: dict[str, float]) -> None:
            bar.update(task, completed=figures.get("progress", bar.tasks[0].completed))
            console.print(
                "  ".join(f"{name} {value:.3f}" for name, value in figures.items()), highlight=False
            )

        train(options.pictures, options.checkpoint, Plan(options.minutes, threads=options.threads), show)
        bar.update(task, completed=1.0)


if __name__ == "__main__":
    main()
