"""The shift: what one ring of the doorbell sets going, until nothing waits."""

import time
from contextlib import suppress

from engine import EngineClosed
from services.infra.errors import StoreError
from services.infra.names import Lane
from worker.diagnosis import Reporter
from worker.inspection import Inspector
from worker.station import Station

SHIFT_SECONDS = 10.0
"""While a task runs, Celery's solo pool neither answers its broker nor notices that it is gone."""


LINGER_LOOK_MS = 100
"""How often a worker that waits for more looks up, so that it ends soon when it is asked to."""


class Shift:
    """Keeps the engine of one GPU worker fed from its lanes; what is in hand lives on between two shifts."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._reporter = Reporter(station)
        self._inspector = Inspector(station, reports_aside=self._reporter.hand_back)

    def run(self, lane: Lane) -> None:
        """Answers the bell of the lane that rang, then works until nothing waits or the worker is to stop.

        A long shift ends after SHIFT_SECONDS and rings for the next one, which finds the engine still at
        work. Asked to stop, it hands back what is not finished, as it came.
        Raises StoreError or EngineClosed when a store or the engine is not there; nothing is lost then.
        """
        # Only the bell that rang: its message is the one that left the queue. Answering both would let
        # every shift be followed by two.
        self._station.bell.answer(lane)
        try:
            self._work(lane)
        except BaseException as error:
            self._leave(error)
            raise

    def hand_back(self) -> None:
        """Gives everything unfinished to other workers, as it came. Raises StoreError."""
        self._inspector.drop()
        self._reporter.drop()
        self._station.claims.release(self._station.claims.held)

    def step(self) -> bool:
        """Commits what the engine has answered and gives it what it has room for; False when all is done.

        Verdicts first: what waits for one is read before any report is begun.
        """
        station = self._station
        station.require_engine()
        station.claims.renew_if_due()
        self._inspector.conclude()
        self._reporter.conclude()
        taken = self._inspector.take() if Lane.INSPECT in station.lanes else 0
        if Lane.DIAGNOSE in station.lanes and not self._inspector.has_suspects:
            taken += self._reporter.take()
        return bool(taken or station.claims.held)

    def _work(self, lane: Lane) -> None:
        station = self._station
        ends_at = time.monotonic() + SHIFT_SECONDS
        while not station.stop.is_set():
            if not self.step() and not self._is_more_to_come():
                return
            if time.monotonic() >= ends_at:
                station.bell.ring(lane)
                return
            if station.claims.held:
                station.rest()
        self.hand_back()

    def _is_more_to_come(self) -> bool:
        """Waits a little for the next part: it is then taken up at once, without a ring and a new shift."""
        station = self._station
        newest = station.ledger.newest_event_id()
        # Once more, for what came before that event.
        if self.step():
            return True
        ends_at = time.monotonic() + station.linger_seconds
        while not station.stop.is_set() and time.monotonic() < ends_at:
            if station.ledger.events_after(newest, 1, LINGER_LOOK_MS):
                return True
        return station.stop.is_set()

    def _leave(self, error: BaseException) -> None:
        """Lets go of everything in hand, in the way that the error calls for.

        A store that is away is no fault of the parts: the delivery does not count. When the engine failed,
        one of them may have been the cause: it counts. After a fault of ours nothing is said, and others take
        over when the claims run out.
        """
        claims = self._station.claims
        self._inspector.drop()
        self._reporter.drop()
        with suppress(StoreError):
            if isinstance(error, StoreError):
                claims.release(claims.held)
            elif isinstance(error, EngineClosed):
                claims.retry(claims.held)
        claims.forget()
