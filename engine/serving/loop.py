"""The one thread that owns the device: verdicts first, then reports one step at a time."""

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from engine.errors import EngineClosed, EngineError, OutOfMemory
from engine.model.network import ErnieVL
from engine.serving.forward import prefill, trie_logits
from engine.serving.jobs import Job, ScoreJob, WriteJob
from engine.serving.requests import Completion, EngineStats, Priority, PriorityStats, Room, Scores

LARGEST_BATCH = 8
"""Scores computed together: more would make the first of them wait too long for the last."""

SMALLER_REQUEST = "use smaller images, a shorter answer, or a device with more memory"

AnyJob = Job[Any]


class Loop:
    """Serves jobs by priority, then by arrival; unfinished writing goes back to its place after a step."""

    def __init__(self, network: ErnieVL) -> None:
        self._network = network
        self._changed = threading.Condition()
        self._waiting: list[tuple[Priority, int, AnyJob]] = []
        self._numbers = itertools.count()
        self._running: list[AnyJob] = []
        self._refusal: EngineClosed | None = None
        self._stopping = False
        self._unfinished: Counter[Priority] = Counter()
        self._counts = {priority: PriorityStats() for priority in Priority}
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="lynceus-engine", daemon=True)
        self._thread.start()

    def submit(self, job: AnyJob) -> None:
        """Queue a job; a closed loop ends it at once with EngineClosed."""
        with self._changed:
            self._unfinished[job.priority] += 1
            job.number = next(self._numbers)
            if self._refusal is None:
                heapq.heappush(self._waiting, (job.priority, job.number, job))
                self._changed.notify()
                return
        self._end(job, self._refusal)

    def stats(self) -> EngineStats:
        """Counts since the start."""
        with self._changed:
            return EngineStats(
                verdicts=self._lane(Priority.VERDICT),
                reports=self._lane(Priority.REPORT),
                failure=self._refusal.detail if self._failed and self._refusal else None,
            )

    def room(self) -> Room:
        """Requests that fit into the next batches."""
        with self._changed:
            verdicts, reports = (self._unfinished[priority] for priority in Priority)
        return Room(max(0, 2 * LARGEST_BATCH - verdicts), max(0, LARGEST_BATCH - reports))

    def _lane(self, priority: Priority) -> PriorityStats:
        running = sum(job.priority is priority for job in self._running)
        return replace(self._counts[priority], waiting=self._unfinished[priority] - running, running=running)

    def close(self, drain: bool) -> None:
        """Take no more jobs and wait for the thread to end: after all jobs, or after the present step."""
        with self._changed:
            if self._refusal is None:
                self._refusal = EngineClosed("the engine is closing", "send the request to another engine")
            self._stopping = self._stopping or not drain
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._take():
                    self._serve(list(self._running))
        except BaseException as fault:
            # A fault that no request explains leaves the device in doubt: say so to every caller, loudly.
            with self._changed:
                self._failed = True
                self._refusal = EngineClosed(f"the engine failed: {fault!r}", "restart the process")
            raise
        finally:
            self._abandon()

    def _take(self) -> bool:
        """Wait for jobs and make the first the running ones, waiting scores together; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._refusal)
            if self._stopping or not self._waiting:
                return False
            self._running = [heapq.heappop(self._waiting)[2]]
            while self._scores_follow():
                self._running.append(heapq.heappop(self._waiting)[2])
            return True

    def _scores_follow(self) -> bool:
        batch, rest = self._running, self._waiting
        return (
            len(batch) < LARGEST_BATCH
            and bool(rest)
            and isinstance(batch[0], ScoreJob)
            and isinstance(rest[0][2], ScoreJob)
        )

    def _serve(self, jobs: Sequence[AnyJob]) -> None:
        ready = [job for job in jobs if self._starts(job)]
        for job in ready:
            if isinstance(job, WriteJob):
                self._advance(job)
        if scores := [job for job in ready if isinstance(job, ScoreJob)]:
            self._score(scores)

    def _starts(self, job: AnyJob) -> bool:
        """False for a job that its caller has cancelled, or that is too late; it is ended here."""
        try:
            job.start()
        except EngineError as late:
            self._end(job, late)
            return False
        if job.future.cancelled():
            self._end(job, None)
            return False
        return True

    def _advance(self, job: WriteJob) -> None:
        try:
            with device_errors():
                completion = job.step(self._network)
        except EngineError as fault:
            self._end(job, fault)
            return
        if completion is not None:
            self._end(job, completion)
            return
        with self._changed:
            self._running.remove(job)
            heapq.heappush(self._waiting, (job.priority, job.number, job))

    def _score(self, jobs: Sequence[ScoreJob]) -> None:
        try:
            with device_errors():
                tables = self._tables(jobs)
        except OutOfMemory as fault:
            if len(jobs) == 1:
                self._end(jobs[0], fault)
                return
        else:
            for job, table in zip(jobs, tables, strict=True):
                try:
                    self._end(job, job.conclude(table))
                except EngineError as fault:
                    self._end(job, fault)
            return
        # Together they did not fit; alone each may, and the one that does not is told.
        for job in jobs:
            self._score([job])

    def _tables(self, jobs: Sequence[ScoreJob]) -> list[torch.Tensor]:
        tries = [job.trie for job in jobs]
        sequences = prefill(self._network, [job.prompt for job in jobs], [trie.nodes for trie in tries])
        for job in jobs:
            job.prefilled = time.monotonic()
        return trie_logits(self._network, sequences, tries)

    def _end(self, job: AnyJob, outcome: Scores | Completion | EngineError | None) -> None:
        """Hand the outcome to the caller, unless it has cancelled, and count it."""
        with self._changed:
            self._unfinished[job.priority] -= 1
            if job in self._running:
                self._running.remove(job)
            self._counts[job.priority] = _counted(self._counts[job.priority], outcome)
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, EngineError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    def _abandon(self) -> None:
        """End what the loop leaves behind."""
        with self._changed:
            left = self._running + [job for _, _, job in self._waiting]
            self._running, self._waiting = [], []
        for job in left:
            self._end(job, self._refusal)


def _counted(counts: PriorityStats, outcome: Scores | Completion | EngineError | None) -> PriorityStats:
    """One more outcome; None is a cancelled request."""
    if outcome is None:
        return replace(counts, cancelled=counts.cancelled + 1)
    if isinstance(outcome, EngineError):
        return replace(counts, failed=counts.failed + 1)
    written = outcome.completion_tokens if isinstance(outcome, Completion) else 0
    return replace(
        counts,
        finished=counts.finished + 1,
        prompt_tokens=counts.prompt_tokens + outcome.prompt_tokens,
        completion_tokens=counts.completion_tokens + written,
    )


@contextmanager
def device_errors() -> Iterator[None]:
    """Turn torch's and numpy's ways of running out of memory into OutOfMemory."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as fault:
        raise OutOfMemory(str(fault), SMALLER_REQUEST) from fault
    except RuntimeError as fault:
        if "DefaultCPUAllocator" not in str(fault):
            raise
        raise OutOfMemory(str(fault), SMALLER_REQUEST) from fault
