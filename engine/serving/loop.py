"""The one thread that owns the device: it has each step decided, carries it out, and hands answers on."""

import itertools
import threading
import time
from concurrent.futures import Future

import torch
from torch import Tensor

from engine.errors import CacheCorrupt, EngineClosed, EngineError
from engine.serving.executor import Executor, device_errors
from engine.serving.jobs import AnyJob, WriteJob
from engine.serving.pace import Pace
from engine.serving.queues import Queues, reason_to_drop
from engine.serving.requests import Capacity, EngineStats, Priority
from engine.serving.scheduler import decide
from engine.serving.statistics import Outcome, StepStatistics

CHECK_SECONDS = 10.0
"""An engine that has had nothing to do for so long checks its accounts."""

BATCHES_AHEAD = 2
"""The engine takes the batch that it computes, and for the next one."""


class Loop:
    """Serves jobs until it is closed; the queues are touched under the lock only."""

    def __init__(self, executor: Executor, pace: Pace) -> None:
        self._executor = executor
        self._pace = pace
        self._changed = threading.Condition()
        self._queues = Queues()
        self._checks: list[Future[None]] = []
        self._steps = StepStatistics()
        self._numbers = itertools.count()
        self._refusal: EngineClosed | None = None
        self.failure: str | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="lynceus-engine", daemon=True)
        self._thread.start()

    def submit(self, job: AnyJob) -> None:
        """RequestQueue a job; a closed loop ends it at once with EngineClosed."""
        with self._changed:
            job.number = next(self._numbers)
            if self._refusal is None:
                self._queues[job.priority].add(job)
                self._changed.notify()
                return
        self._end(job, self._refusal)

    def stats(self) -> EngineStats:
        """What it does now and has done since the start."""
        with self._changed:
            verdicts, reports = (self._queues[priority].stats() for priority in Priority)
        blocks, features, times = self._executor.blocks, self._executor.features, self._steps.read()
        return EngineStats(
            verdicts=verdicts,
            reports=reports,
            steps=times.steps,
            step_p50=times.p50,
            step_p95=times.p95,
            step_age=times.age,
            batch_mean=times.batch_mean,
            tokens_per_second=times.tokens_per_second,
            cache_bytes=self._executor.pool.nbytes,
            cache_blocks=blocks.count,
            cache_blocks_used=blocks.count - blocks.free,
            cache_blocks_kept=blocks.kept,
            images_seen=features.seen,
            images_reused=features.reused,
            failure=self.failure,
        )

    def capacity(self) -> Capacity:
        """Requests that fit into the present batch and the next."""
        most = BATCHES_AHEAD * self._pace.batch
        with self._changed:
            verdicts, reports = (len(self._queues[priority].jobs) for priority in Priority)
        return Capacity(max(0, most - verdicts), max(0, most - reports))

    def check_integrity(self) -> Future[None]:
        """Have the accounts of the blocks compared after this step; the future holds CacheCorrupt, if any."""
        check: Future[None] = Future()
        with self._changed:
            self._checks.append(check)
            self._changed.notify()
        return check

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
                while self._wait():
                    if self._drop():
                        self._step()
        except BaseException as fault:
            # A fault that no request explains leaves the device in doubt: say so to every caller, loudly.
            with self._changed:
                self.failure = f"the engine failed: {fault!r}"
                self._refusal = EngineClosed(self.failure, "restart the process")
            raise
        finally:
            self._abandon()

    def _wait(self) -> bool:
        """Wait until there is something to do, checking the accounts meanwhile; False at the end."""
        while True:
            with self._changed:
                woken = self._changed.wait_for(
                    lambda: self._queues.jobs or self._checks or self._refusal, timeout=CHECK_SECONDS
                )
                checks, self._checks = self._checks, []
                is_busy = bool(self._queues.jobs)
            if checks or not woken:
                self._check(checks)
            if self._stopping or (self._refusal is not None and not is_busy):
                return False
            if is_busy:
                return True

    def _check(self, checks: list[Future[None]]) -> None:
        try:
            self._executor.blocks.check_integrity([job.blocks for job in self._queues.jobs])
        except CacheCorrupt as fault:
            for check in checks:
                check.set_exception(fault)
            raise
        for check in checks:
            check.set_result(None)

    def _drop(self) -> bool:
        """End the jobs that were cancelled, and those that come too late; whether any is left."""
        with self._changed:
            jobs = self._queues.jobs
        for job in jobs:
            if job.future.cancelled():
                self._end(job, None)
            elif (late := reason_to_drop(job)) is not None:
                self._end(job, late)
        return bool(self._queues.jobs)

    def _step(self) -> None:
        limits = self._pace.limits
        with self._changed:
            step = decide(self._queues.state(self._executor.blocks, limits), limits)
            queue = self._queues[step.priority]
            prefilling, decoding = queue.prefilling(step.prefill), queue.decoding(step.decode)
        assert step, "a request that fits waits for ever"
        if step.preempt is not None:
            self._preempt(step.preempt)
            return
        for job, _ in prefilling:
            self._start(job)
        start = time.monotonic()
        with self._steps.step(step):
            for job, logits in (
                self._executor.prefill(prefilling) if prefilling else self._executor.decode(decoding)
            ):
                self._go_on(job, logits)
        seconds = time.monotonic() - start
        if step.prefill:
            self._pace.note(sum(step.prefill.values()), seconds)
        with self._changed:
            self._queues.note(step, seconds)

    def _start(self, job: AnyJob) -> None:
        if job.started is None:
            job.started = time.monotonic()
            self._queues[job.priority].statistics.waited(job.started - job.submitted)

    def _preempt(self, number: int) -> None:
        """Take a report's blocks; it is computed again when blocks are free, and says the same."""
        with self._changed:
            queue = self._queues[Priority.REPORT]
            job = next(job for job in queue.jobs if job.number == number)
            self._executor.preempt(job)
            queue.add(job)
            queue.statistics.preempted()

    def _go_on(self, job: AnyJob, logits: Tensor | EngineError) -> None:
        """What a job does with the logits of its newest tokens."""
        if isinstance(logits, EngineError):
            self._executor.discard(job)
            self._end(job, logits)
        elif job.computed == job.length:
            self._conclude(job, logits)

    def _conclude(self, job: AnyJob, logits: Tensor) -> None:
        if job.prefilled is None:
            job.prefilled = time.monotonic()
        job.features = {}
        try:
            with device_errors():
                result = job.conclude(logits)
        except EngineError as fault:
            self._end(job, fault)
            return
        if result is not None:
            self._end(job, result)
        elif isinstance(job, WriteJob):
            with self._changed:
                self._queues[job.priority].run(job)

    def _end(self, job: AnyJob, outcome: Outcome) -> None:
        """Give a job's blocks back, count it, and hand the outcome to the caller unless it has cancelled."""
        self._executor.release(job)
        with self._changed:
            queue = self._queues[job.priority]
            queue.remove(job)
            queue.statistics.ended(outcome, job.reused)
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, EngineError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    def _abandon(self) -> None:
        """End what the loop leaves behind."""
        with self._changed:
            left, checks = self._queues.jobs, self._checks
        assert self._refusal is not None
        for job in left:
            self._end(job, self._refusal)
        for check in checks:
            check.set_exception(self._refusal)
