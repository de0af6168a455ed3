"""Verdicts under load: batches and caches beside one at a time, and beside transformers.

    python -m bench.serving.verdicts FIGURES.json [--models starter mid] [--repeats 3] [--requests 100]
        [--work FOLDER]

Requests arrive as a Poisson process that does not wait for answers; its moments are fixed before a run. All
variants and the peer are loaded side by side and measured in turn, so that what else the machine does slows
all of them. Loads are shares of what the variant could do just before. Rates and latencies are given in those
of one at a time at that moment, as medians of the repeats. `bench.serving.plot` draws FIGURES.json.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch

from bench.host import host, print_host
from bench.serving import mid_size
from bench.serving.load import Latencies, arrivals, offer, percentiles, saturated
from bench.serving.peer import Eager
from bench.serving.recipe import CHOICES, Line
from engine import Engine, EngineConfig, Prompt

SHARES = (0.3, 0.6, 0.9)
"""Offered loads, of the variant's own saturated rate."""

RATE_PART = 2
"""A rate is measured with so many times fewer requests than latencies."""

PEER_PART = 4
"""The peer, many times slower on the middle size, is measured with so many times fewer requests."""

WARM_UP = 8
ALONE, BATCHES, ALL, PEER = "one at a time", "batches", "all on", "transformers"

CACHE_BYTES = 2**29
"""Each engine's; without it the first of several on one machine would take the others' share."""

WORK = Path("runs/serving")
"""Where checkpoints are written that are not part of the repository."""


class Server(Protocol):
    """What answers: an engine, or the peer."""

    def score(self, prompt: Prompt, choices: Sequence[str]) -> Future[Any]:
        """One verdict."""

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True)
class Figures:
    """What one variant reached, in units of one at a time: its rate, and latencies by share of that rate."""

    rate: float
    latencies: dict[float, Latencies]


def checkpoint_of(model: str, work: Path) -> Path:
    """Where the model lies; the mid-size one is written if it is not there."""
    return mid_size.STARTER if model == "starter" else mid_size.write(work / model)


def all_on(checkpoint: Path) -> EngineConfig:
    """The engine as it comes, with a cache of 30,000 tokens of the mid-size model."""
    return EngineConfig(checkpoint, device="cpu", cache_bytes=CACHE_BYTES)


def variants(checkpoint: Path) -> dict[str, EngineConfig]:
    """The configurations that are compared."""
    batches = replace(all_on(checkpoint), prefix_caching=False)
    return {ALONE: replace(batches, max_batch=1), BATCHES: batches, ALL: all_on(checkpoint)}


def asking(server: Server) -> Callable[[Prompt], Future[Any]]:
    """Ask it for verdicts of the recipe."""
    return lambda prompt: server.score(prompt, CHOICES)


class Rounds:
    """Measures every server in turn at every share, in units of what one at a time does just then."""

    def __init__(self, servers: Mapping[str, Server], requests: int) -> None:
        self._servers = servers
        self._requests = requests
        self._line = Line()
        self._rates: dict[str, list[float]] = defaultdict(list)
        self._found: dict[tuple[str, float], list[Latencies]] = defaultdict(list)
        for server in servers.values():
            saturated(asking(server), self._line.verdicts(WARM_UP))

    def repeat(self, seed: int) -> None:
        """Rates and latencies at every share; the rates are taken anew, or a busier machine is overloaded."""
        for share in SHARES:
            rates = {
                name: saturated(asking(server), self._line.verdicts(self._count(name) // RATE_PART))
                for name, server in self._servers.items()
            }
            unit = 1 / rates[ALONE]
            print(f"repeat {seed + 1}: one at a time {unit * 1e3:.0f} ms a verdict, load", end=" ")
            print(f"{psutil.getloadavg()[0]:.1f};", end=" ")
            print(", ".join(f"{name} {rate * unit:.2f} x" for name, rate in rates.items()), flush=True)
            for name, server in self._servers.items():
                planned = arrivals(self._count(name), share * rates[name], seed)
                latencies = offer(asking(server), self._line.verdicts(self._count(name)), planned)
                self._rates[name].append(rates[name] * unit)
                self._found[name, share].append(percentiles(latencies / unit))

    def _count(self, name: str) -> int:
        return self._requests // PEER_PART if name == PEER else self._requests

    def figures(self) -> dict[str, Figures]:
        """Medians of the repeats."""
        return {
            name: Figures(
                statistics.median(self._rates[name]),
                {share: _medians(self._found[name, share]) for share in SHARES},
            )
            for name in self._servers
        }


def _medians(runs: Sequence[Latencies]) -> Latencies:
    return Latencies(*(statistics.median(values) for values in zip(*map(astuple, runs), strict=True)))


def measure(model: str, work: Path, repeats: int, requests: int) -> dict[str, Figures]:
    """Load everything side by side, and measure it."""
    checkpoint = checkpoint_of(model, work)
    with ExitStack() as stack:
        servers: dict[str, Server] = {name: Engine(config) for name, config in variants(checkpoint).items()}
        servers[PEER] = Eager(checkpoint, work / f"{model}-fp32")
        for server in servers.values():
            stack.enter_context(closing(server))
        rounds = Rounds(servers, requests)
        for seed in range(repeats):
            rounds.repeat(seed)
        return rounds.figures()


def show(model: str, figures: Mapping[str, Figures]) -> None:
    """Print a table."""
    print(f"{model}: the unit is one at a time, its rate and what a verdict takes at that rate")
    print(f"{'':16}{'rate':>8}{'share':>8}{'offered':>10}{'p50':>8}{'p95':>8}{'p99':>8}")
    for name, figure in figures.items():
        for share, found in figure.latencies.items():
            loads = f"{figure.rate:8.2f}{share:8.0%}{share * figure.rate:10.2f}"
            print(f"{name:16}{loads}" + "".join(f"{latency:8.2f}" for latency in astuple(found)))


def begin(parser: argparse.ArgumentParser, requests: int) -> argparse.Namespace:
    """Arguments of the command and of every serving bench; prints the host and sets the threads."""
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, default=requests, help="verdicts of each measurement")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count())
    parser.add_argument("--work", type=Path, default=WORK, help="where large checkpoints are written")
    arguments = parser.parse_args()
    print_host()
    print(f"load       {psutil.getloadavg()[0]:.1f} before the run")
    torch.set_num_threads(arguments.threads)
    return arguments


def main() -> None:
    """Measure all models, print tables, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, help="where the figures are written as JSON")
    parser.add_argument("--models", nargs="+", choices=("starter", "mid"), default=["starter", "mid"])
    arguments = begin(parser, requests=100)
    found: dict[str, dict[str, Figures]] = {}
    for model in arguments.models:
        found[model] = measure(model, arguments.work, arguments.repeats, arguments.requests)
        show(model, found[model])
    by_model = {model: {name: asdict(figure) for name, figure in by.items()} for model, by in found.items()}
    arguments.figures.write_text(json.dumps({"host": host(), "models": by_model}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
