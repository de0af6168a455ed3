"""The requests that are unfinished, by priority, and what the scheduler needs to know of them."""

from bisect import insort

from engine.errors import EngineError
from engine.model.cache import BLOCK_TOKENS
from engine.serving.blocks import Blocks
from engine.serving.executor import blocks_for
from engine.serving.jobs import AnyJob, WriteJob, check_deadline
from engine.serving.requests import Priority, PriorityStats
from engine.serving.scheduler import Limits, PriorityQueueView, Running, State, Step, Waiting, owed_after
from engine.serving.statistics import QueueStatistics


class RequestQueue:
    """The jobs of one priority in the order of their numbers: those to read, and those that write."""

    def __init__(self) -> None:
        self.statistics = QueueStatistics()
        self._waiting: list[AnyJob] = []
        self._running: list[WriteJob] = []
        self._prefilled_last = False

    @property
    def jobs(self) -> list[AnyJob]:
        """All of them."""
        return [*self._waiting, *self._running]

    def prefilling(self, read: dict[int, int]) -> list[tuple[AnyJob, int]]:
        """The waiting jobs of these numbers, each with the tokens beside its number."""
        by_number = {job.number: job for job in self._waiting if job.number in read}
        return [(by_number[number], tokens) for number, tokens in read.items()]

    def decoding(self, numbers: tuple[int, ...]) -> list[WriteJob]:
        """The running jobs of these numbers."""
        wanted = set(numbers)
        return [job for job in self._running if job.number in wanted]

    def add(self, job: AnyJob) -> None:
        """A job whose prompt is to be read, new or once more."""
        self.remove(job)
        insort(self._waiting, job, key=lambda waiting: waiting.number)

    def run(self, job: WriteJob) -> None:
        """A job's prompt has been read, and it writes."""
        self.remove(job)
        insort(self._running, job, key=lambda running: running.number)

    def remove(self, job: AnyJob) -> None:
        """A job is finished."""
        if job in self._waiting:
            self._waiting.remove(job)
        elif isinstance(job, WriteJob) and job in self._running:
            self._running.remove(job)

    def note(self, step: Step) -> None:
        """Remember what its last step was."""
        self._prefilled_last = bool(step.prefill)

    def stats(self) -> PriorityStats:
        """Those here now, and the counts."""
        jobs = self.jobs
        waiting = sum(job.started is None for job in jobs)
        return self.statistics.read(waiting, len(jobs) - waiting)

    def view(self, blocks: Blocks, limits: Limits) -> PriorityQueueView:
        """What the scheduler sees: of those that wait the ones that one step could reach."""
        begun = [job for job in self._waiting if job.blocks]
        others = [job for job in self._waiting if not job.blocks][: limits.batch]
        return PriorityQueueView(
            waiting=tuple(_waiting(job, blocks) for job in (*begun, *others)),
            running=tuple(_running(job) for job in self._running),
            prefilled_last=self._prefilled_last,
        )


class Queues(dict[Priority, RequestQueue]):
    """One for each priority."""

    def __init__(self) -> None:
        super().__init__({priority: RequestQueue() for priority in Priority})
        self._owed = 0.0

    @property
    def jobs(self) -> list[AnyJob]:
        """All that are unfinished, in the order in which they were submitted."""
        return sorted((job for queue in self.values() for job in queue.jobs), key=lambda job: job.number)

    def state(self, blocks: Blocks, limits: Limits) -> State:
        """What the scheduler decides from."""
        verdicts, reports = (self[priority].view(blocks, limits) for priority in Priority)
        return State(verdicts, reports, blocks.free, self._owed)

    def note(self, step: Step, seconds: float) -> None:
        """Remember a step that was carried out, and how long it took."""
        self[step.priority].note(step)
        self._owed = owed_after(self._owed, step.priority, seconds)


def reason_to_drop(job: AnyJob) -> EngineError | None:
    """Why a job that has not begun comes too late, if it does."""
    try:
        if job.started is None:
            check_deadline(job.deadline)
    except EngineError as late:
        return late
    return None


def _waiting(job: AnyJob, blocks: Blocks) -> Waiting:
    if job.blocks:
        left = job.length - job.computed
        return Waiting(job.number, left, job.tail, blocks=0, begun=True, keeps_blocks=job.keeps_blocks)
    return Waiting(
        job.number,
        job.length - len(blocks.found(job.shareable)) * BLOCK_TOKENS,
        job.tail,
        blocks.cost(job.shareable, blocks_for(job.reserved)),
    )


def _running(job: WriteJob) -> Running:
    return Running(job.number, max(0, blocks_for(job.computed + 1) - len(job.blocks)), job.keeps_blocks)
