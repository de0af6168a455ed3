"""What the load of `bench.serving.verdicts` promises: fixed moments, and latencies no slow answer hides."""

import time
from concurrent.futures import Future
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.serving.load import arrivals, offer, percentiles, saturated


class OneAtATime:
    """A server that takes a fixed time for each request, in their order."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last: Thread | None = None

    def __call__(self, request: int) -> Future[int]:
        """Answers with the request itself, on a thread that waits for the one before it."""
        answer: Future[int] = Future()
        self._last = Thread(target=self._serve, args=(request, answer, self._last))
        self._last.start()
        return answer

    def _serve(self, request: int, answer: Future[int], before: Thread | None) -> None:
        if before is not None:
            before.join()
        time.sleep(self._seconds)
        answer.set_result(request)


@given(st.integers(1, 200), st.floats(0.1, 1000), st.integers(0, 9))
def test_arrivals_are_fixed_by_their_seed_and_scale_with_the_rate(count: int, rate: float, seed: int) -> None:
    """The same seed gives the same moments, ascending, and twice the rate the same ones in half the time."""
    moments = arrivals(count, rate, seed)
    assert (np.diff(moments, prepend=0) >= 0).all()
    assert (moments == arrivals(count, rate, seed)).all()
    assert moments / 2 == pytest.approx(arrivals(count, 2 * rate, seed))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_a_percentile_is_a_measured_latency_that_its_share_does_not_exceed(latencies: list[float]) -> None:
    """At least the share lies at or below it, and less than the share lies below it."""
    found = percentiles(np.array(latencies))
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert value in latencies
        assert np.mean(np.array(latencies) <= value) >= share - 1e-9
        assert np.mean(np.array(latencies) < value) < share


def test_a_request_that_waits_for_others_counts_its_wait() -> None:
    """Three at once, one at a time: the last one's latency holds all three services."""
    latencies = offer(OneAtATime(0.02), range(3), np.zeros(3))
    assert (latencies >= 0.02 * np.array([1, 2, 3])).all()


def test_the_wait_behind_a_caller_that_was_held_up_counts() -> None:
    """Asking itself takes time: latencies still count from the planned moments, which have passed."""

    def ask(_: int) -> Future[None]:
        time.sleep(0.02)
        answer: Future[None] = Future()
        answer.set_result(None)
        return answer

    assert (offer(ask, range(3), np.zeros(3)) >= 0.02 * np.array([1, 2, 3])).all()


def test_a_failed_request_fails_the_measurement() -> None:
    """No figure is made of answers that did not come."""

    def ask(_: int) -> Future[None]:
        answer: Future[None] = Future()
        answer.set_exception(ValueError("no"))
        return answer

    with pytest.raises(ValueError, match="no"):
        saturated(ask, [1])
