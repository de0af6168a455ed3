"""One queue of a GPU worker: what waits goes to the engine, and what the engine has answered is committed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from engine import EngineClosed, EngineError, Image
from schemas.job import DiagnosisJob, InspectionJob
from schemas.recipe import Recipe
from services.infra.process.errors import LynceusError, StoreError
from services.infra.process.logging import bind
from services.infra.process.names import Queue
from services.infra.stores.ledger import AlreadyCommitted, Committed, Entry
from worker.context import WorkerContext
from worker.pixels import frame_pixels
from worker.refusals import Fate, as_service_error, exhausted, fate_of
from worker.stopwatch import Stopwatch

Job = TypeVar("Job", InspectionJob, DiagnosisJob)
Answer = TypeVar("Answer")
Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Delivery(Generic[Job]):
    """One delivery of a job, with the watch that runs since it was taken up."""

    entry: Entry
    job: Job
    watch: Stopwatch


@dataclass(frozen=True, eq=False)
class Request(Generic[Job, Answer]):
    """A delivery that the engine is at work on."""

    delivery: Delivery[Job]
    recipe: Recipe
    answer: Future[Answer]

    @property
    def met_a_closed_engine(self) -> bool:
        """Whether the engine ended before it answered."""
        return not self.answer.cancelled() and isinstance(self.answer.exception(), EngineClosed)


class Work(ABC, Generic[Job, Answer, Result]):
    """What is done with the jobs of one queue; each method may raise a LynceusError that ends its job."""

    queue: Queue
    job_type: type[Job]

    @abstractmethod
    def capacity(self, running: int, /) -> int:
        """How many more jobs may be begun beside those that run."""

    @abstractmethod
    def check(self, job: Job) -> None:
        """Raises what ends the job before its frame is fetched."""

    @abstractmethod
    def recipe(self, job: Job) -> Recipe:
        """The recipe that the job is served under."""

    @abstractmethod
    def ask(
        self, delivery: Delivery[Job], recipe: Recipe, golden: Sequence[Image], frame: NDArray[np.uint8]
    ) -> "Future[Any]":
        """Hands the question about a frame, RGB uint8 [H, W, 3], to the engine."""

    @abstractmethod
    def result(self, request: Request[Job, Answer], answer: Answer) -> Result:
        """What the engine's answer comes to."""

    @abstractmethod
    def commit(
        self, results: Sequence[tuple[Delivery[Job], Result]]
    ) -> Sequence[Committed | AlreadyCommitted]:
        """Writes the results, in their order. Raises StoreError."""

    @abstractmethod
    def give_up(self, delivery: Delivery[Job], error: LynceusError) -> Committed | AlreadyCommitted:
        """Ends a job that cannot be served. Raises StoreError."""


class QueueRunner(Generic[Job, Answer, Result]):
    """Serves one queue: `take` feeds the engine, `conclude` commits what it has answered."""

    def __init__(
        self,
        context: WorkerContext,
        work: Work[Job, Answer, Result],
        others: "QueueRunner[Any, Any, Any] | None" = None,
    ) -> None:
        """`others` are the jobs of another queue, which make way for those of this one."""
        self._context = context
        self._work: Work[Job, Answer, Result] = work
        self._others = others
        self._running: list[Request[Job, Answer]] = []
        self.has_suspects = False
        """Whether the last look at the queue found a job that was delivered before."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The deliveries that the engine is at work on, or has answered."""
        return [request.delivery.entry for request in self._running]

    def take(self, *, is_quiet: bool = True) -> int:
        """Reads what waits, as far as there is capacity, and begins it; returns how many jobs.

        A job that was delivered before may be what ended the last worker, so it runs alone: what the engine
        has of this queue is finished first, and nothing is read beside it. So it cannot take others with it,
        and an innocent one succeeds at its second delivery. At its last delivery it needs the whole engine,
        and waits, passed by others, while that is not `is_quiet`. Raises StoreError.
        """
        if self._running and self.has_suspects:
            return 0
        count = self._work.capacity(len(self._running))
        if count <= 0:
            return 0
        batch = self._admitted(self._read(count), is_quiet)
        if batch:
            self._context.reload_recipes()
            self._begin([self._delivery(entry) for entry in batch])
        return len(batch)

    def conclude(self) -> None:
        """Commits the result of every job that the engine is done with, in one step of the ledger.

        Raises StoreError, and EngineClosed after what was answered before is committed.
        """
        done = [request for request in self._running if request.answer.done()]
        closed = [request for request in done if request.met_a_closed_engine]
        answered = [request for request in done if request not in closed]
        self._commit(self._results(answered))
        for request in closed:
            request.answer.result()

    def make_way(self, *, for_suspect: bool) -> None:
        """Requeues the running jobs, as they came, where one of them or what comes must run alone.

        Raises StoreError.
        """
        if for_suspect or any(self._is_last(request.delivery.entry) for request in self._running):
            self.requeue()

    def requeue(self) -> None:
        """Gives the running jobs to other workers, as they came. Raises StoreError."""
        entries = self.entries
        self.drop()
        if entries:
            self._context.leases.requeue(entries)

    def drop(self) -> None:
        """Stops the engine's work on every job and forgets them; their leases are the caller's."""
        for request in self._running:
            request.answer.cancel()
        self._running.clear()

    def _read(self, count: int) -> Sequence[Entry]:
        context = self._context
        with context.stages.timed("read"):
            entries = context.ledger.jobs.read(self._work.queue, context.consumer, count)
        context.leases.hold(entries)
        return entries

    def _admitted(self, entries: Sequence[Entry], is_quiet: bool) -> Sequence[Entry]:
        """All entries when none was delivered before; else the first such entry alone, once none runs."""
        admitted = [entry for entry in entries if is_quiet or not self._is_last(entry)]
        suspects = [entry for entry in admitted if entry.deliveries > 1]
        self.has_suspects = bool(suspects)
        if suspects:
            admitted = [] if self._running else suspects[:1]
        self._context.leases.requeue(entry for entry in entries if entry not in admitted)
        if self._others is not None and (admitted or suspects):
            self._others.make_way(for_suspect=self.has_suspects)
        return admitted

    def _is_last(self, entry: Entry) -> bool:
        """Whether the job is given up if the worker ends once more."""
        return entry.deliveries == self._context.max_deliveries

    def _delivery(self, entry: Entry) -> Delivery[Job]:
        if not isinstance(entry.job, self._work.job_type):
            raise TypeError(f"the queue {entry.queue} handed out a {type(entry.job).__name__}")
        return Delivery(entry, entry.job, Stopwatch(entry.job.creation_time))

    def _begin(self, deliveries: Sequence[Delivery[Job]]) -> None:
        """Hands the jobs to the engine, or ends a job where it cannot be asked about."""
        fit = [delivery for delivery in deliveries if self._is_fit(delivery)]
        frames = self._frames(fit)
        for delivery in fit:
            with self._refusing(delivery):
                self._running.append(self._request(delivery, frames.get(delivery.job.result_id)))

    def _is_fit(self, delivery: Delivery[Job]) -> bool:
        with self._refusing(delivery):
            if delivery.entry.deliveries > self._context.max_deliveries:
                raise exhausted(delivery.entry)
            self._work.check(delivery.job)
            return True
        return False

    def _frames(self, deliveries: Sequence[Delivery[Job]]) -> Mapping[str, bytes]:
        with self._context.stages.timed("fetch"):
            return self._context.frames.get_many([delivery.job.result_id for delivery in deliveries])

    def _request(self, delivery: Delivery[Job], frame: bytes | None) -> Request[Job, Answer]:
        context = self._context
        recipe = self._work.recipe(delivery.job)
        golden = context.golden.images(recipe)
        with context.stages.timed("decode"):
            pixels = frame_pixels(delivery.job, frame, recipe)
        delivery.watch.decoded()
        with context.stages.timed("prepare"):
            answer = self._work.ask(delivery, recipe, golden, pixels)
        delivery.watch.follow(answer)
        context.wake_at(answer)
        return Request(delivery, recipe, answer)

    def _results(self, answered: Sequence[Request[Job, Answer]]) -> list[tuple[Request[Job, Answer], Result]]:
        """The results of the requests; those that end with an error are refused."""
        results = []
        for request in answered:
            with self._refusing(request.delivery):
                results.append((request, self._work.result(request, request.answer.result())))
                continue
            self._running.remove(request)
        return results

    def _commit(self, results: Sequence[tuple[Request[Job, Answer], Result]]) -> None:
        """Writes the results; where the store is away, they are written at the next call."""
        if not results:
            return
        with self._context.stages.timed("commit"):
            outcomes = self._work.commit([(request.delivery, result) for request, result in results])
        for (request, _), outcome in zip(results, outcomes, strict=True):
            self._running.remove(request)
            self._end(request.delivery, outcome)

    @contextmanager
    def _refusing(self, delivery: Delivery[Job]) -> Iterator[None]:
        """Ends the job where the block finds that it cannot be served."""
        with bind(result_id=delivery.job.result_id):
            try:
                yield
            except (StoreError, EngineClosed):
                raise
            except LynceusError as error:
                self._refuse(delivery, error)
            except EngineError as error:
                self._refuse(delivery, as_service_error(error))

    def _refuse(self, delivery: Delivery[Job], error: LynceusError) -> None:
        """Ends a job without the engine's answer, or has it tried once more."""
        context, entry = self._context, delivery.entry
        log.warning(
            "refused", queue=entry.queue, code=error.code, detail=error.detail, deliveries=entry.deliveries
        )
        may_pass = fate_of(error) is Fate.RETRIED
        if may_pass and entry.deliveries < context.max_deliveries:
            context.leases.retry([entry])
            return
        final = exhausted(entry, error) if may_pass else error
        self._end(delivery, self._work.give_up(delivery, final))

    def _end(self, delivery: Delivery[Job], outcome: Committed | AlreadyCommitted) -> None:
        self._context.leases.acknowledged(delivery.entry)
        if isinstance(outcome, Committed):
            self._context.progress.finish()
