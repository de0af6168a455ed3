"""Laws of the reports' share, played with plain numbers: no stream of verdicts makes them stand still."""

import itertools
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.serving.requests import Priority
from engine.serving.scheduler import (
    CREDIT_SECONDS,
    REPORT_SHARE,
    Limits,
    PriorityQueueView,
    Running,
    State,
    Step,
    Waiting,
    decide,
    owed_after,
)

BLOCK = 16
LIMITS = Limits(batch=3, verdict_tokens=120, report_tokens=30)
MANY_STEPS = 20_000

seconds = st.floats(0.001, 2.0)
short = st.floats(0.001, REPORT_SHARE * CREDIT_SECONDS)


@dataclass
class Request:
    """A verdict, which is over when it is read, or a report that writes so many tokens."""

    number: int
    prompt: int
    to_write: int = 0
    written: int = 0
    computed: int = 0
    blocks: int = 0
    preempted_at: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens to compute before it can go on."""
        return self.prompt + self.written

    @property
    def keeps_blocks(self) -> bool:
        """Whether it has not advanced since it was preempted."""
        return self.length in self.preempted_at[-1:]

    def view(self) -> Waiting | Running:
        """As the scheduler sees it."""
        if self.written and self.computed >= self.length - 1:
            return Running(self.number, -(-self.length // BLOCK) - self.blocks, self.keeps_blocks)
        begun = self.blocks > 0
        blocks = 0 if begun else -(-self.length // BLOCK)
        return Waiting(
            self.number, self.length - self.computed, 1, blocks, begun, begun and self.keeps_blocks
        )


class World:
    """A device with so many blocks, reports that came first, and one verdict after another."""

    def __init__(self, blocks: int, reports: list[Request], verdicts: list[int]) -> None:
        self.blocks = blocks
        self.numbers = itertools.count(100)
        self.sizes = itertools.cycle(verdicts)
        self.queues: dict[Priority, list[Request]] = {Priority.VERDICT: [], Priority.REPORT: reports}
        self.prefilled_last = dict.fromkeys(Priority, False)

    def step(self, owed: float) -> Step:
        """The next step, while at least one verdict waits."""
        verdicts = self.queues[Priority.VERDICT]
        if not verdicts:
            verdicts.append(Request(next(self.numbers), next(self.sizes)))
        held = sum(request.blocks for queue in self.queues.values() for request in queue)
        verdicts_view, reports_view = (self._queue(priority) for priority in Priority)
        step = decide(State(verdicts_view, reports_view, self.blocks - held, owed), LIMITS)
        self._carry_out(step)
        return step

    def _queue(self, priority: Priority) -> PriorityQueueView:
        seen = [request.view() for request in self.queues[priority]]
        return PriorityQueueView(
            tuple(request for request in seen if isinstance(request, Waiting)),
            tuple(request for request in seen if isinstance(request, Running)),
            self.prefilled_last[priority],
        )

    def _carry_out(self, step: Step) -> None:
        if step.preempt is not None:
            gone = next(r for r in self.queues[Priority.REPORT] if r.number == step.preempt)
            gone.preempted_at.append(gone.length)
            gone.blocks = gone.computed = 0
            return
        self.prefilled_last[step.priority] = bool(step.prefill)
        queue = self.queues[step.priority]
        computed = {**step.prefill, **dict.fromkeys(step.decode, 1)}
        for request in queue:
            if tokens := computed.get(request.number, 0):
                request.blocks = max(request.blocks, -(-request.length // BLOCK))
                request.computed += tokens
                request.written += request.to_write > 0 and request.computed == request.length
        queue[:] = [r for r in queue if r.computed < r.length and (r.written < r.to_write or not r.to_write)]


def _balance(taken: list[tuple[Priority, float]]) -> NDArray[np.float64]:
    """After each step what reports got beyond their share, in seconds."""
    gains = [s if priority is Priority.REPORT else -REPORT_SHARE * s for priority, s in taken]
    balance: NDArray[np.float64] = np.cumsum([0.0, *gains])
    return balance


def _play(lengths: list[tuple[float, float]]) -> list[tuple[Priority, float]]:
    """Who got each step, and how long it was, with endless reports: a verdict's length or a report's."""
    world = World(1000, [Request(0, 40, to_write=10**6)], [30, 300])
    owed, taken = 0.0, []
    for verdict, report in lengths:
        priority = world.step(owed).priority
        taken.append((priority, verdict if priority is Priority.VERDICT else report))
        owed = owed_after(owed, *taken[-1])
    return taken


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=80))
def test_reports_get_their_share_of_the_time_over_any_stretch(lengths: list[tuple[float, float]]) -> None:
    """However long the steps of either are, less what they had before and one step of verdicts."""
    balance = _balance(_play(lengths))
    most = REPORT_SHARE * (CREDIT_SECONDS + max(verdict for verdict, _ in lengths))
    assert (np.maximum.accumulate(balance) - balance).max() <= most + 1e-9


@given(st.lists(st.tuples(seconds, short), min_size=1, max_size=80))
def test_verdicts_get_all_the_rest(lengths: list[tuple[float, float]]) -> None:
    """Reports whose steps are short take no more than their share of any stretch, but for one step."""
    balance = _balance(_play(lengths))
    most = REPORT_SHARE * (2 * CREDIT_SECONDS + max(verdict for verdict, _ in lengths))
    assert (balance - np.minimum.accumulate(balance)).max() <= most + 1e-9


@given(
    reports=st.lists(st.tuples(st.integers(1, 150), st.integers(2, 40)), min_size=1, max_size=5),
    verdicts=st.lists(st.integers(1, 200), min_size=1, max_size=5),
    spare=st.integers(0, 4),
)
def test_every_report_is_written_in_the_end(
    reports: list[tuple[int, int]], verdicts: list[int], spare: int
) -> None:
    """Endless verdicts and a tight cache: a preempted request has advanced before the next time."""
    requests = [Request(number, *sizes) for number, sizes in enumerate(reports)]
    longest = max(*verdicts, *(request.prompt + request.to_write for request in requests))
    world, owed = World(-(-longest // BLOCK) + spare, list(requests), verdicts), 0.0
    for _ in range(MANY_STEPS):
        if not world.queues[Priority.REPORT]:
            break
        step = world.step(owed)
        if step.preempt is None:
            owed = owed_after(owed, step.priority, 0.1)
        elif step.priority is Priority.VERDICT:
            preempted_at = requests[step.preempt].preempted_at
            assert preempted_at[-1] not in preempted_at[:-1]
    assert all(request.written == request.to_write for request in requests)
