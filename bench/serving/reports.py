"""Verdicts beside reports: 8 being written and 100 more waiting must not slow them, nor stand still.

    python -m bench.serving.reports [--model starter] [--repeats 3] [--requests 200] [--work DIRECTORY]

Verdicts arrive as in `bench.serving.verdicts`, at half and at nine tenths of what the engine does without
reports, measured with and without reports in turn. The share of the reports is their chunks of text a second
beside verdicts, of those without verdicts.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from bench.serving.load import Latencies, arrivals, offer, percentiles, saturated
from bench.serving.recipe import REPORT, SCHEMA, Line
from bench.serving.verdicts import RATE_PART, WARM_UP, all_on, asking, begin, checkpoint_of
from engine import Completion, Engine

WRITTEN_AT_ONCE, WAITING = 8, 100
HALF, NEARLY_ALL = 0.5, 0.9
ALONE_SECONDS = 5.0
POLL_SECONDS = 0.01


class Backlog:
    """Reports that an engine owes, and how much of them it has written."""

    def __init__(self, engine: Engine, line: Line) -> None:
        """Hand them in, and wait until so many are being written as are to be."""
        self.pieces = 0
        self._futures: list[Future[Completion]] = [
            engine.generate(prompt, REPORT, thinking=True, schema=SCHEMA, on_text=self._note)
            for prompt in line.reports(WRITTEN_AT_ONCE + WAITING)
        ]
        while engine.stats().reports.running < WRITTEN_AT_ONCE:
            time.sleep(POLL_SECONDS)

    def _note(self, *_: str) -> None:
        """Runs on the engine's one thread."""
        self.pieces += 1

    def cancel(self) -> None:
        """Give up what is not finished."""
        for future in self._futures:
            future.cancel()


@contextmanager
def backlog(engine: Engine, line: Line) -> Iterator[Backlog]:
    """A backlog that is gone afterwards."""
    owed = Backlog(engine, line)
    try:
        yield owed
    finally:
        owed.cancel()
        while engine.stats().reports.unfinished:
            time.sleep(POLL_SECONDS)


class Comparison:
    """One engine's verdicts with and without reports."""

    def __init__(self, engine: Engine, requests: int) -> None:
        self._engine, self._line, self._requests = engine, Line(), requests
        saturated(asking(engine), self._line.verdicts(WARM_UP))

    def rate(self) -> float:
        """Verdicts a second without reports, as busy as the machine is now."""
        return saturated(asking(self._engine), self._line.verdicts(self._requests // RATE_PART))

    def verdicts(self, rate: float, seed: int) -> Latencies:
        """Latencies at an offered rate."""
        planned = arrivals(self._requests, rate, seed)
        return percentiles(offer(asking(self._engine), self._line.verdicts(self._requests), planned))

    def beside_reports(self, rate: float, seed: int) -> tuple[Latencies, float]:
        """The same while reports are owed, and the chunks of text a second meanwhile."""
        with backlog(self._engine, self._line) as owed:
            before, start = owed.pieces, time.monotonic()
            latencies = self.verdicts(rate, seed)
            return latencies, (owed.pieces - before) / (time.monotonic() - start)

    def reports_alone(self) -> float:
        """Pieces of text a second without verdicts."""
        with backlog(self._engine, self._line) as owed:
            before = owed.pieces
            time.sleep(ALONE_SECONDS)
            return (owed.pieces - before) / ALONE_SECONDS


def compare(comparison: Comparison, repeats: int) -> None:
    """Print each repeat's ratios, and their medians and ranges."""
    for share in (HALF, NEARLY_ALL):
        slower, advancing = [], []
        for seed in range(repeats):
            alone = comparison.reports_alone()
            rate = share * comparison.rate()
            without = comparison.verdicts(rate, seed)
            beside, pieces = comparison.beside_reports(rate, seed)
            slower.append(beside.p99 / without.p99)
            advancing.append(pieces / alone)
            print(
                f"load {share:.0%}, repeat {seed + 1}: p50 {beside.p50 / without.p50:.2f} x, "
                f"p99 {slower[-1]:.2f} x, reports {advancing[-1]:.0%}",
                flush=True,
            )
        print(
            f"load {share:.0%}, median and range of {repeats}: verdict p99 {statistics.median(slower):.2f} x "
            f"({min(slower):.2f} to {max(slower):.2f}) its value without reports; reports advance at "
            f"{statistics.median(advancing):.0%} ({min(advancing):.0%} to {max(advancing):.0%}) "
            "of their speed without verdicts"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("starter", "mid"), default="starter")
    arguments = begin(parser, requests=200)
    with Engine(all_on(checkpoint_of(arguments.model, arguments.work))) as engine:
        compare(Comparison(engine, arguments.requests), arguments.repeats)


if __name__ == "__main__":
    main()
