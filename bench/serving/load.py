"""Open-loop load: requests come when they come, however slow the answers are.

A loop that waits for an answer before it asks again hides the wait of those that should have come meanwhile
(coordinated omission; Tene 2013). So the moments are drawn before the run, and a latency counts from them.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]
"""Seconds."""

Request = TypeVar("Request")
Ask = Callable[[Request], Future[Any]]

SHARES = (50, 95, 99)


@dataclass(frozen=True)
class Latencies:
    """Percentiles of the seconds from the planned arrival to the answer."""

    p50: float
    p95: float
    p99: float


def arrivals(count: int, rate: float, seed: int) -> Moments:
    """The first moments of a Poisson process of `rate` a second, ascending from 0; the same for a seed."""
    gaps = np.random.default_rng(seed).exponential(1.0, count)
    moments: Moments = np.cumsum(gaps) / rate
    return moments


def percentiles(latencies: Moments) -> Latencies:
    """Each the smallest latency that the share does not exceed: one that was measured, never between two."""
    return Latencies(*(float(value) for value in np.percentile(latencies, SHARES, method="inverted_cdf")))


def offer(ask: Ask[Request], requests: Sequence[Request], planned: Moments) -> Moments:
    """Ask at the planned moments, what is late at once, and wait for all: latencies in the requests' order.

    Raises what a request failed with.
    """
    ends: SimpleQueue[tuple[int, float, Future[Any]]] = SimpleQueue()

    def note(number: int, answer: Future[Any]) -> None:
        ends.put((number, time.monotonic(), answer))

    start = time.monotonic()
    for number, (request, moment) in enumerate(zip(requests, planned, strict=True)):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        ask(request).add_done_callback(partial(note, number))
    latencies = np.zeros(len(requests))
    for _ in requests:
        number, end, answer = ends.get()
        answer.result()
        latencies[number] = end - start - planned[number]
    return latencies


def saturated(ask: Ask[Request], requests: Sequence[Request]) -> float:
    """Answers a second when all requests wait from the start."""
    return len(requests) / float(offer(ask, requests, np.zeros(len(requests))).max())
