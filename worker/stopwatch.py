"""How long the stages of one job took, in the terms of a result's processing times."""

import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.verdict import ProcessingTimes


@dataclass
class Stopwatch:
    """Started when a worker takes a job up; stages in milliseconds of a monotonic clock."""

    creation_time: datetime
    start_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    decode_ms: float = 0.0
    engine_ms: float = 0.0
    _mark: float = field(default_factory=time.monotonic)

    def decoded(self) -> None:
        """The frame is fetched and decoded; what follows is the engine's time."""
        now = time.monotonic()
        self.decode_ms = (now - self._mark) * 1000
        self._mark = now

    def follow(self, future: Future[Any]) -> None:
        """Takes the engine's time when the future ends, not when somebody gets round to looking at it."""
        future.add_done_callback(self._engine_done)

    def _engine_done(self, _: Future[Any]) -> None:
        self.engine_ms = (time.monotonic() - self._mark) * 1000

    def times(self) -> ProcessingTimes:
        """The processing times of a job that ends now."""
        # The creation time was written by another machine, whose clock may be ahead of ours.
        queued = (self.start_time - self.creation_time).total_seconds() * 1000
        return ProcessingTimes(
            start_time=self.start_time,
            end_time=max(self.start_time, datetime.now(UTC)),
            queue_ms=max(0.0, queued),
            decode_ms=self.decode_ms,
            engine_ms=self.engine_ms,
        )
