"""Decides what the device does next: a function of what waits, what runs, and what is free.

Verdicts go first; reports get a stated share of the time. A long prompt is computed in pieces, so that no
step takes much longer than the others. When blocks run out, reports give theirs back, the latest first, and
are computed again later; verdicts never do. Who gave way keeps its blocks the next time, until it has
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

    It takes `blocks` free blocks to go on; one that has `begun` holds all that it needs. One that `stays`
    gave way before and has not advanced since.
    """

    number: int
    tokens: int
    tail: int
    blocks: int
    begun: bool = False
    stays: bool = False


@dataclass(frozen=True)
class Running:
    """A request that writes; its next token takes `blocks` free blocks, and `stays` is as in Waiting."""

    number: int
    blocks: int
    stays: bool = False


@dataclass(frozen=True)
class Lane:
    """The requests of one priority; `read_last` says whether its last step read prompts."""

    waiting: tuple[Waiting, ...] = ()
    running: tuple[Running, ...] = ()
    read_last: bool = False


@dataclass(frozen=True)
class State:
    """All that a decision depends on; `owed` are the seconds that reports have yet to get."""

    verdicts: Lane
    reports: Lane
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
    """By their numbers: whose prompt is read and how many tokens of it, who writes; or a report gives way."""

    priority: Priority
    read: dict[int, int] = field(default_factory=dict)
    write: tuple[int, ...] = ()
    preempt: int | None = None

    def __bool__(self) -> bool:
        return bool(self.read or self.write) or self.preempt is not None


def decide(state: State, limits: Limits) -> Step:
    """The next step; an empty one only where there is nothing to do.

    A step that sends a report away does nothing else: what others need is seen anew when its blocks are free.
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
    """Reading lets more write at once later, so it goes first, but never twice before those that write."""
    lane = state.verdicts if priority is Priority.VERDICT else state.reports
    if not lane.running or not lane.read_last:
        step = _read_verdicts(state, limits) if priority is Priority.VERDICT else _read_reports(state, limits)
        if step:
            return step
    if sum(job.blocks for job in lane.running) > state.free_blocks:
        return _give_way(priority, state)
    return Step(priority, write=tuple(job.number for job in lane.running))


def _read_verdicts(state: State, limits: Limits) -> Step:
    read = _pieces(state.verdicts, state.free_blocks, limits.batch, limits.verdict_tokens)
    if not read and state.verdicts.waiting and len(state.verdicts.running) < limits.batch:
        return _give_way(Priority.VERDICT, state)
    return Step(Priority.VERDICT, read=read)


def _read_reports(state: State, limits: Limits) -> Step:
    # A block stays for each report that writes already, or the next step would send one of them away.
    free = state.free_blocks - len(state.reports.running)
    return Step(Priority.REPORT, read=_pieces(state.reports, free, limits.batch, limits.report_tokens))


def _pieces(lane: Lane, free: int, batch: int, budget: int) -> dict[int, int]:
    """Tokens of each prompt to compute: in their order, as far as places, blocks and tokens allow.

    Only the first is cut; what has begun goes on first, because it holds blocks that others wait for.
    """
    waiting = sorted(lane.waiting, key=lambda job: (not job.begun, job.number))
    places = batch - len(lane.running) - sum(job.begun for job in waiting)
    read: dict[int, int] = {}
    for job in waiting[:batch]:
        tokens = job.tokens if read else piece_of(job.tokens, job.tail, budget)
        fits = job.begun or (places > 0 and job.blocks <= free)
        if not fits or (read and tokens > budget):
            break
        places -= not job.begun
        read[job.number] = tokens
        budget -= tokens
        free -= job.blocks
    return read


def piece_of(tokens: int, tail: int, budget: int) -> int:
    """How many of the tokens that are left to compute next: within the budget, but the tail in one piece."""
    return tokens if tokens <= max(budget, tail) else min(budget, tokens - tail)


def _give_way(priority: Priority, state: State) -> Step:
    """Send the latest report away that holds blocks, but none that stays where another can go.

    Where all stay, a verdict waits until one of them has advanced, and has the reports' next steps for that;
    a report that wants their blocks itself cannot wait.
    """
    holders = [job for job in state.reports.waiting if job.begun] + list(state.reports.running)
    leaving = [job.number for job in holders if not job.stays]
    if not leaving and priority is Priority.REPORT:
        leaving = [job.number for job in holders]
    return Step(priority, preempt=max(leaving, default=None))
