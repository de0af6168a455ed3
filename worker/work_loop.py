"""The work loop: what a wake-up sets going, until nothing waits."""

import time
from collections.abc import Sequence
from contextlib import suppress

from engine import EngineClosed
from services.infra.process.errors import StoreError
from services.infra.process.names import Queue
from services.infra.stores.ledger import Entry
from worker.context import WorkerContext
from worker.diagnosis import Reporting
from worker.inspection import Inspection
from worker.queue_runner import QueueRunner

TASK_SECONDS = 10.0
"""While a task runs, Celery's solo pool neither answers its broker nor notices that it is gone."""

LINGER_LOOK_MS = 100
"""How often a worker that waits for more looks up, so that it ends soon when it is asked to."""


class WorkLoop:
    """Keeps the engine of one GPU worker fed from its queues; requests go on between two runs of the loop."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._reports = QueueRunner(context, Reporting(context))
        self._parts = QueueRunner(context, Inspection(context), others=self._reports)

    def run(self, queue: Queue) -> None:
        """Receives the wake-up of the queue, then works until nothing waits or the worker is to stop.

        A long run ends after TASK_SECONDS and sends for the next one, which finds the engine still at work.
        Asked to stop, it requeues what is not finished, as it came.
        Raises StoreError or EngineClosed when a store or the engine is not there; nothing is lost then.
        """
        # Only this queue's wake-up: its message is the one that left the Celery queue. Receiving both would
        # let every run be followed by two.
        self._context.wake_up.received(queue)
        try:
            self._work(queue)
        except BaseException as error:
            self._leave(error)
            raise

    def requeue(self) -> None:
        """Gives everything unfinished to other workers, as it came. Raises StoreError."""
        self._drop()
        self._context.leases.requeue(self._context.leases.held)

    def step(self) -> bool:
        """Commits what the engine has answered and feeds it up to its capacity; False when all is done.

        Verdicts first: what waits for one is read before any report is begun.
        """
        context = self._context
        context.require_engine()
        context.leases.renew_if_due()
        self._parts.conclude()
        self._reports.conclude()
        taken = self._parts.take() if Queue.INSPECT in context.queues else 0
        if Queue.DIAGNOSE in context.queues and not self._parts.has_suspects:
            taken += self._reports.take(is_quiet=not self._parts.entries)
        return bool(taken or context.leases.held)

    def _work(self, queue: Queue) -> None:
        context = self._context
        ends_at = time.monotonic() + TASK_SECONDS
        while not context.stop.is_set():
            if not self.step() and not self._is_more_to_come():
                return
            if time.monotonic() >= ends_at:
                context.wake_up.send(queue)
                return
            if context.leases.held:
                context.rest()
        self.requeue()

    def _is_more_to_come(self) -> bool:
        """Waits a little for the next part: it is then taken up at once, without another wake-up."""
        context = self._context
        newest = context.ledger.events.newest_id()
        # Once more, for what came before that event.
        if self.step():
            return True
        ends_at = time.monotonic() + context.linger_seconds
        while not context.stop.is_set() and time.monotonic() < ends_at:
            if context.ledger.events.after(newest, 1, LINGER_LOOK_MS):
                return True
        return context.stop.is_set()

    def _leave(self, error: BaseException) -> None:
        """Ends the leases, in the way that the error calls for.

        A store that is away is no fault of the parts: the engine goes on, the next run commits its answers,
        and what it was not asked about is requeued. When the engine failed, one of them may have been the
        cause: the delivery counts. After a fault of ours the leases run out, and others take over.
        """
        leases = self._context.leases
        if isinstance(error, StoreError):
            with suppress(StoreError):
                leases.requeue(self._not_begun())
            return
        self._drop()
        if isinstance(error, EngineClosed):
            with suppress(StoreError):
                leases.retry(leases.held)
        leases.forget()

    def _not_begun(self) -> Sequence[Entry]:
        begun = [*self._parts.entries, *self._reports.entries]
        return [entry for entry in self._context.leases.held if entry not in begun]

    def _drop(self) -> None:
        self._parts.drop()
        self._reports.drop()
