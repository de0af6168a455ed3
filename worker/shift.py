"""The shift: what one ring of the doorbell sets going, until nothing waits."""

import time
from collections.abc import Collection

from services.infra.names import Lane
from worker.diagnosis import Reporter
from worker.inspection import Inspector
from worker.station import Station

SHIFT_SECONDS = 10.0
"""While a task runs, Celery's solo pool neither answers its broker nor notices that it is gone."""


class Shift:
    """Serves the given lanes of one GPU worker; verdicts outrank reports at every step."""

    def __init__(self, station: Station, lanes: Collection[Lane]) -> None:
        self._station = station
        self._lanes = frozenset(lanes)
        self._inspector = Inspector(station)
        self._reporter = Reporter(station, verdicts_first=self._inspect)

    def run(self, lane: Lane) -> None:
        """Answers the bell of the lane that rang, then works until nothing waits or the worker is to stop.

        A long shift ends after SHIFT_SECONDS and rings for the next one.
        Raises StoreError or EngineClosed when a store or the engine is not there; nothing is lost then.
        """
        # Only the bell that rang: its message is the one that left the queue. Answering both would let
        # every shift be followed by two.
        self._station.bell.answer(lane)
        ends_at = time.monotonic() + SHIFT_SECONDS
        while not self._station.stop.is_set() and self.step():
            if time.monotonic() >= ends_at:
                self._station.bell.ring(lane)
                return

    def step(self) -> bool:
        """One batch of verdicts, or one report when no verdict waits; False when nothing waited."""
        return self._inspect() or self._diagnose()

    def _inspect(self) -> bool:
        return Lane.INSPECT in self._lanes and self._inspector.step()

    def _diagnose(self) -> bool:
        return Lane.DIAGNOSE in self._lanes and self._reporter.step()
