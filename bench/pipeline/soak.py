"""Thousands of frames from several cameras in one run: whether anything is lost, doubled, leaked or grows.

    OMP_NUM_THREADS=1 python -m bench.pipeline.soak DIRECTORY [--frames 24000] [--side 112] [--reported 40]

The starter model on the CPU; frames of SIDE x SIDE pixels through a gateway, Redis, worker and result writer
into the database, each in a process of its own, WINDOW frames on their way at any time. One camera's frames,
REPORTED of them, get written reports as well. Everything is counted from outside: what the cameras held out
against the feed, the database and the stores. DIRECTORY receives stores and logs. Ends with 1 when anything
does not add up.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog
from redis import Redis

from bench.host import print_host
from bench.pipeline.line import (
    RECIPE_ID,
    REPORTED_ID,
    Line,
    processes,
    running_line,
    threads,
)
from bench.pipeline.soak_gateway import CameraPlan, Plan, Report, gateway_process
from services.infra.process.names import (
    GPU_GROUP,
    RESULTS_GROUP,
    RESULTS_QUEUE,
    RESULTS_STREAM,
    Queue,
    frame_key,
    job_key,
    queue_stream,
)
from services.infra.stores.results import ResultFilters, ResultStore

WINDOW = 48
SAMPLE_SECONDS = 5.0
WARM = 0.2
"""The share of the run after which memory is expected to stand still."""

IDLE_SECONDS = 15.0
"""The engine compares its own accounts when it has been idle for ten."""

PAGE = 200

Facts = dict[str, tuple[object, object]]
"""By name: what was found, and what is expected."""

KNOWN_KEYS = ("lynceus:", "_kombu.binding", "unacked")
"""Ours and Celery's; a Celery queue is a list of the queue's name."""


@dataclass
class Memory:
    """Resident memory of every process in MB, against the frames that were through at the time."""

    samples: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def sample(self, frames: int) -> None:
        """Take one."""
        for name, process in processes().items():
            self.samples.setdefault(name, []).append((frames, process.memory_info().rss / 1e6))

    def print(self, frames: int) -> None:
        """Before, after and the slope over what follows the warm-up."""
        print(f"\n{'resident memory, MB':24} {'start':>8} {'warm':>8} {'end':>8} {'MB per 1000 frames':>20}")
        for name, samples in self.samples.items():
            steady = np.array([sample for sample in samples if sample[0] >= frames * WARM])
            if len(steady) < 3:
                print(f"  {name:22} was seen {len(samples)} times")
                continue
            slope = np.polyfit(steady[:, 0], steady[:, 1], 1)[0] * 1000
            print(f"  {name:22} {samples[0][1]:8.1f} {steady[0, 1]:8.1f} {steady[-1, 1]:8.1f} {slope:20.3f}")


def plan_of(line: Line, options: argparse.Namespace) -> Plan:
    """Which camera shows what: the last one the frames that get reports, the others the rest."""
    plain = options.cameras - 1
    counts = [len(range(each, options.frames - options.reported, plain)) for each in range(plain)]
    shown = [*((count, RECIPE_ID) for count in counts), (options.reported, REPORTED_ID)]
    return Plan(
        directory=options.directory,
        ledger_url=line.url("ledger"),
        frames_url=line.url("frames"),
        side=options.side,
        cameras=tuple(
            CameraPlan(number=number, frames=count, recipe_id=recipe)
            for number, (count, recipe) in enumerate(shown)
        ),
    )


def run(line: Line, plan: Plan, options: argparse.Namespace) -> tuple[Report, Memory]:
    """All frames through the line; returns when the last verdict is seen."""
    memory = Memory()
    with gateway_process(plan) as gateway:
        with line.watched(gateway):
            for _ in range(WINDOW):
                gateway.release()
            while (seen := len(line.verdicts)) < options.frames:
                memory.sample(seen)
                print(f"\r{seen} of {options.frames}", end="", file=sys.stderr, flush=True)
                if line.supervisor.ended():
                    raise RuntimeError(f"{line.supervisor.ended()[0].name} has ended")
                time.sleep(SAMPLE_SECONDS)
        memory.sample(options.frames)
        return gateway.end(), memory


def settle(line: Line) -> None:
    """Returns when every report is written and every result stored."""
    with Redis.from_url(line.url("ledger")) as redis:
        while redis.xlen(RESULTS_STREAM) or any(line.ledger.jobs.waiting(queue) for queue in Queue):
            time.sleep(0.5)
    time.sleep(IDLE_SECONDS)


def stored(directory: Path) -> Counter[str]:
    """How often each part is in the database, and how many reports are; from the database alone."""
    results, found, cursor = ResultStore(f"sqlite:///{directory / 'lynceus.db'}"), Counter[str](), None
    while True:
        page = results.page(ResultFilters(), cursor, PAGE)
        for row in page.results:
            found[row.verdict.part.part_id] += 1
            found["reports"] += row.report is not None
            found[row.verdict.decision.value] += 1
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def unknown_keys(ledger: Redis) -> list[str]:
    """Keys that are neither ours nor Celery's."""
    keys = [key.decode() for key in ledger.scan_iter(count=1000)]
    queues = {RESULTS_QUEUE, *(queue.value for queue in Queue)}
    return [key for key in keys if not key.startswith(KNOWN_KEYS) and key not in queues]


def facts(line: Line, plan: Plan, report: Report, options: argparse.Namespace) -> Facts:
    """What was found and what is expected, by name."""
    rows, dead_letters = stored(options.directory), line.ledger.jobs.dead_letters(1000)
    parts = plan.parts
    heartbeat = line.worker_heartbeat()
    engine = heartbeat.engine
    assert engine is not None
    with Redis.from_url(line.url("ledger")) as ledger, Redis.from_url(line.url("frames")) as frames:
        jobs = list(ledger.scan_iter(match=job_key("*"), count=1000))
        streams = [(queue_stream(queue), GPU_GROUP) for queue in Queue] + [(RESULTS_STREAM, RESULTS_GROUP)]
        return {
            "parts held out": (report.held_out, options.frames),
            "frames refused": (len(report.refused), 0),
            "verdicts seen on the feed": (len(line.verdicts), options.frames),
            "verdict events beyond one a part": (line.repeated, 0),
            "parts in the database": (sum(rows[name] > 0 for name in parts), options.frames),
            "parts there more than once": (sum(rows[name] > 1 for name in parts), 0),
            "reports and dead letters": (rows["reports"] + len(dead_letters), options.reported),
            "gateway.accepted": (line.ledger.telemetry.counters().get("gateway.accepted"), options.frames),
            "entries left in streams": (sum(ledger.xlen(name) for name, _ in streams), 0),
            "entries still leased": (sum(ledger.xpending(*each)["pending"] for each in streams), 0),
            "job records": (len(jobs), options.frames),
            "job records without an end": (sum(ledger.ttl(key) < 0 for key in jobs), 0),
            "keys that nobody knows": (unknown_keys(ledger), []),
            "frames kept": (sum(1 for _ in frames.scan_iter(match=frame_key("*"), count=1000)), 0),
            "requests left in the engine": (engine.verdicts.running + engine.verdicts.waiting, 0),
            "blocks in use by no request": (engine.cache_blocks_used, 0),
            "fault of the worker": (heartbeat.fault, None),
            "NOT_INSPECTED": (rows["NOT_INSPECTED"], 0),
        }


def main() -> None:
    """Run, count, print; exit with 1 when something does not add up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--frames", type=int, default=24_000)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--reported", type=int, default=40)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print_host()
    print(f"OMP_NUM_THREADS {threads()}")
    with running_line(options.directory) as line:
        start = time.perf_counter()
        plan = plan_of(line, options)
        report, memory = run(line, plan, options)
        seconds = max(line.verdicts.values()) - start
        settle(line)
        memory.sample(options.frames)
        print(f"\n{options.frames} frames in {seconds:.0f} s: {options.frames / seconds:.1f} a second")
        memory.print(options.frames)
        found = facts(line, plan, report, options)
    print(f"\n{'counted from outside':36} {'found':>10} {'expected':>10}")
    for name, (is_so, expected) in found.items():
        print(f"  {name:34} {is_so!s:>10} {expected!s:>10}{'' if is_so == expected else '   WRONG'}")
    sys.exit(any(is_so != expected for is_so, expected in found.values()))


if __name__ == "__main__":
    main()
