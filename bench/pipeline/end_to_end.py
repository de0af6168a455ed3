"""The pipeline beside its own engine: gateway, Redis and worker, against the same pictures in Engine.score.

    OMP_NUM_THREADS=1 python -m bench.pipeline.end_to_end DIRECTORY [--frames 200] [--repeats 3] [--cameras 8]

The starter model on the CPU, the shipped surface recipe with a golden image and without reports. Engine and
pipeline take turns, so that both meet the same machine. Throughput is measured with WINDOW frames on their
way at any time; the pipeline's own time with one frame at a time: from the moment the camera holds it out
until its verdict is on the event feed, less the engine's share. What else the machine does counts against the
pipeline, which uses both cores where the engine uses one; so it is shown. DIRECTORY receives stores and logs.
"""

import argparse
import itertools
import logging
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bench.host import print_host
from bench.pipeline.line import (
    CHECKPOINT,
    RECIPE_ID,
    Line,
    OtherWork,
    Pictures,
    SimulatedCamera,
    encoded,
    processor_seconds,
    running_line,
    threads,
)
from engine import Engine, EngineConfig, Priority, Scores
from schemas.recipe import Recipe
from services.infra.intake.images import decode
from services.infra.process.heartbeat import StageTime
from worker.pixels import GoldenImages
from worker.prompts import choices, inspect_prompt

WINDOW = 64
"""Frames on their way at once when throughput is measured: enough for the engine to have the next ones."""

WARM_UP = 10

Frames = list[tuple[str, bytes]]


@dataclass
class TimedCamera(SimulatedCamera):
    """Notes when each frame is held out, by part."""

    offered: dict[str, float] = field(default_factory=dict)

    def note(self, name: str) -> None:
        """See SimulatedCamera.note."""
        super().note(name)
        self.offered[name] = time.perf_counter()


@dataclass(frozen=True)
class OwnTime:
    """One frame alone: from the camera to the verdict, and the part of it that was the engine's; in ms."""

    total: float
    engine: float
    queue: float

    @property
    def pipeline(self) -> float:
        """What is not the engine's."""
        return self.total - self.engine


def engine_rate(engine: Engine, line: Line, frames: Frames) -> float:
    """Verdicts a second of the engine alone, from decoded pictures."""
    recipe: Recipe = line.recipes.get(RECIPE_ID)
    golden = GoldenImages(line.recipes).images(recipe)
    pixels = [decode(data) for _, data in frames]
    waiting: deque[Future[Scores]] = deque()
    start = time.perf_counter()
    for picture in pixels:
        if len(waiting) >= WINDOW:
            waiting.popleft().result()
        prompt = inspect_prompt(recipe, golden, picture)
        waiting.append(engine.score(prompt, choices(recipe), Priority.VERDICT, time.monotonic() + 600))
    wait(waiting)
    return len(frames) / (time.perf_counter() - start)


def pipeline_rate(line: Line, frames: Frames, cameras: int) -> float:
    """Verdicts a second from the first frame offered to the last verdict seen."""
    permits = threading.Semaphore(WINDOW)
    sources = [
        TimedCamera(f"camera-{number}", iter(frames[number::cameras]), permits) for number in range(cameras)
    ]
    seen = len(line.verdicts)
    with line.watched(permits), line.gateway(sources):
        line.wait_for(seen + len(frames))
    first = min(moment for source in sources for moment in source.offered.values())
    last = max(line.verdicts[name] for name, _ in frames)
    return len(frames) / (last - first)


def own_times(line: Line, frames: Frames) -> tuple[list[OwnTime], Sequence[StageTime]]:
    """One frame at a time through everything, and the gateway's stages meanwhile."""
    permits = threading.Semaphore(1)
    camera = TimedCamera("camera-0", iter(frames), permits)
    seen = len(line.verdicts)
    with line.watched(permits), line.gateway([camera]) as health:
        line.wait_for(seen + len(frames))
    times = []
    for name, _ in frames:
        spent = line.verdict(name).processing_times
        total = (line.verdicts[name] - camera.offered[name]) * 1000
        times.append(OwnTime(total, spent.engine_ms, spent.queue_ms))
    return times, health.stages.summary()


def print_own_times(line: Line, times: Sequence[OwnTime], gateway: Sequence[StageTime]) -> None:
    """The median frame, and where its milliseconds go."""
    ordered = sorted(each.pipeline for each in times)
    print(f"\none frame at a time, {len(times)} frames, ms (wanted: pipeline p50 at most 8)")
    print(f"  camera to verdict p50 {statistics.median(each.total for each in times):7.2f}")
    print(f"  engine            p50 {statistics.median(each.engine for each in times):7.2f}")
    print(f"  pipeline          p50 {statistics.median(ordered):7.2f}", end="")
    print(f"   p95 {ordered[int(len(ordered) * 0.95)]:7.2f}")
    queue = statistics.median(each.queue for each in times)
    print(f"  job made to read  p50 {queue:7.2f}   (overlaps the gateway's check, keep, add and ring)")
    print_stages("the gateway's stages", gateway)
    print_stages("the worker's stages (prepare is inside the engine's share)", line.worker_heartbeat().stages)


def print_stages(title: str, stages: Sequence[StageTime]) -> None:
    """One line a stage."""
    print(f"{title:60} {'p50':>7} {'p95':>7} ms")
    for stage in stages:
        print(f"  {stage.stage:58} {stage.p50_ms:7.2f} {stage.p95_ms:7.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cameras", type=int, default=8)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print_host()
    print(f"OMP_NUM_THREADS {threads()}")
    pictures, numbers = Pictures(seed=1), itertools.count()

    def fresh(count: int) -> Frames:
        return encoded(pictures, count, f"run{next(numbers)}")

    with (
        running_line(options.directory) as line,
        Engine(EngineConfig(CHECKPOINT, device="cpu")) as engine,
    ):
        own_times(line, fresh(WARM_UP))
        engine_rate(engine, line, fresh(WARM_UP))
        # First, while the worker's stages know of nothing else.
        print_own_times(line, *own_times(line, fresh(options.frames // 2)))
        print("\nverdicts a second    engine  pipeline   ratio  other work, processors   (wanted: 0.80)")
        ratios, spent = [], Counter[str]()
        for _ in range(options.repeats):
            own, offered = fresh(options.frames), fresh(options.frames)
            other = OtherWork()
            alone = engine_rate(engine, line, own)
            before = processor_seconds()
            through = pipeline_rate(line, offered, options.cameras)
            spent.update({name: now - before[name] for name, now in processor_seconds().items()})
            ratios.append(through / alone)
            shown = f"{alone:9.2f} {through:9.2f} {ratios[-1]:7.2f} {other.processors():10.2f}"
            print(f"                  {shown}", flush=True)
        print(f"median ratio {statistics.median(ratios):.2f}")
        print("\nprocessor time in the pipeline, ms a frame (the gateway is in `bench`)")
        for name, seconds in spent.most_common():
            print(f"  {name:16} {seconds * 1000 / options.frames / options.repeats:7.2f}")
        print_stages("\nthe worker's stages when it is busy", line.worker_heartbeat().stages)


if __name__ == "__main__":
    main()
