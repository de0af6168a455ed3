"""Decides what the device does next: a function of what waits, what runs, and what is free.

Verdicts go first; reports get a stated share of the time. A long prompt is computed in chunks, so that no
step takes much longer than the others. When blocks run out, reports give theirs back, the latest first, and
are computed again later; verdicts never do. Who was preempted keeps its blocks the next time, until it has
advanced.
"""

from dataclasses import dataclass, field

from engine.serving.requests import Priority

REPORT_SHARE = 0.1
"""Seconds that reports get for each second of verdicts, however many verdicts wait."""

CREDIT_SECONDS = 1.0
"""What reports did while no verdict wanted the device counts against the next so many seconds of verdicts."""


@dataclass(frozen=True)
class Waiting:
    """A request whose prompt is not whole: tokens to compute, the last `tail` of them at once.

    It takes `blocks` free blocks to go on; one that has `begun` holds all it needs. One that `keeps_blocks`
    was preempted before and has not advanced since.
    """

    number: int
    tokens: int
    tail: int
    blocks: int
    begun: bool = False
    keeps_blocks: bool = False


@dataclass(frozen=True)
class Running:
    """A request that decodes; its next token takes `blocks` free blocks; `keeps_blocks` as in Waiting."""

    number: int
    blocks: int
    keeps_blocks: bool = False


@dataclass(frozen=True)
class PriorityQueueView:
    """The requests of one priority; `prefilled_last` says whether its last step prefilled."""

    waiting: tuple[Waiting, ...] = ()
    running: tuple[Running, ...] = ()
    prefilled_last: bool = False


@dataclass(frozen=True)
class State:
    """All that a decision depends on; `owed` are the seconds that reports have yet to get."""

    verdicts: PriorityQueueView
    reports: PriorityQueueView
    free_blocks: int
    owed: float = 0.0


@dataclass(frozen=True)
class Limits:
    """Requests that run at once, and tokens of prompts that one step computes of verdicts and of reports."""

    batch: int
    verdict_tokens: int
    report_tokens: int


@dataclass(frozen=True)
class Step:
    """By number: whose prompt is prefilled by how many tokens, who decodes; or a report is preempted."""

    priority: Priority
    prefill: dict[int, int] = field(default_factory=dict)
    decode: tuple[int, ...] = ()
    preempt: int | None = None

    def __bool__(self) -> bool:
        return bool(self.prefill or self.decode) or self.preempt is not None


def decide(state: State, limits: Limits) -> Step:
    """The next step; an empty one only where there is nothing to do.

    A step that preempts a report does nothing else: what others need is seen anew when its blocks are free.
    """
    verdicts, reports = Priority.VERDICT, Priority.REPORT
    first, second = (reports, verdicts) if state.owed > 0 else (verdicts, reports)
    return _step(first, state, limits) or _step(second, state, limits)


def owed_after(owed: float, priority: Priority, seconds: float) -> float:
    """What reports are owed once a step of so many seconds was given to one priority.

    As long as they can go on at every step, they get REPORT_SHARE of the seconds of verdicts over any
    stretch, less that of CREDIT_SECONDS and of one step. What they could not use is not saved up.
    """
    if priority is Priority.VERDICT:
        return min(owed + REPORT_SHARE * seconds, REPORT_SHARE * max(CREDIT_SECONDS, seconds))
    return max(owed - seconds, -REPORT_SHARE * CREDIT_SECONDS)


def _step(priority: Priority, state: State, limits: Limits) -> Step:
    """Prefilling lets more decode later, so it goes first, but never twice before those that decode."""
    queue = state.verdicts if priority is Priority.VERDICT else state.reports
    if not queue.running or not queue.prefilled_last:
        step = (
            _prefill_verdicts(state, limits)
            if priority is Priority.VERDICT
            else _prefill_reports(state, limits)
        )
        if step:
            return step
    if sum(job.blocks for job in queue.running) > state.free_blocks:
        return _preempt(priority, state)
    return Step(priority, decode=tuple(job.number for job in queue.running))


def _prefill_verdicts(state: State, limits: Limits) -> Step:
    chunks = _chunks(state.verdicts, state.free_blocks, limits.batch, limits.verdict_tokens)
    if not chunks and state.verdicts.waiting and len(state.verdicts.running) < limits.batch:
        return _preempt(Priority.VERDICT, state)
    return Step(Priority.VERDICT, prefill=chunks)


def _prefill_reports(state: State, limits: Limits) -> Step:
    # A block stays for each report that decodes already, or the next step would preempt one of them.
    free = state.free_blocks - len(state.reports.running)
    return Step(Priority.REPORT, prefill=_chunks(state.reports, free, limits.batch, limits.report_tokens))


def _chunks(queue: PriorityQueueView, free: int, batch: int, budget: int) -> dict[int, int]:
    """Tokens of each prompt to compute: in their order, as far as places, blocks and tokens allow.

    Only the first is cut; what has begun goes on first, because it holds blocks that others wait for.
    """
    waiting = sorted(queue.waiting, key=lambda job: (not job.begun, job.number))
    places = batch - len(queue.running) - sum(job.begun for job in waiting)
    chunks: dict[int, int] = {}
    for job in waiting[:batch]:
        tokens = job.tokens if chunks else chunk_of(job.tokens, job.tail, budget)
        fits = job.begun or (places > 0 and job.blocks <= free)
        if not fits or (chunks and tokens > budget):
            break
        places -= not job.begun
        chunks[job.number] = tokens
        budget -= tokens
        free -= job.blocks
    return chunks


def chunk_of(tokens: int, tail: int, budget: int) -> int:
    """How many of the tokens that are left to compute next: within the budget, but the tail in one chunk."""
    return tokens if tokens <= max(budget, tail) else min(budget, tokens - tail)


def _preempt(priority: Priority, state: State) -> Step:
    """Preempt the latest report that holds blocks, but none that stays where another can go.

    Where all stay, a verdict waits until one of them has advanced, and has the reports' next steps for that;
    a report that wants their blocks itself cannot wait.
    """
    holders = [job for job in state.reports.waiting if job.begun] + list(state.reports.running)
    leaving = [job.number for job in holders if not job.keeps_blocks]
    if not leaving and priority is Priority.REPORT:
        leaving = [job.number for job in holders]
    return Step(priority, preempt=max(leaving, default=None))
