"""What the gateway has done since it started; the one object that every thread adds to."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock

from services.infra.process.stages import Stages
from services.infra.stores.ledger import Heartbeat, Ledger


class FrameOutcome(StrEnum):
    """What became of a frame, or happened to its source; each is a counter per camera and in all."""

    ACCEPTED = "accepted"
    """The job is in the ledger."""
    UNUSABLE = "unusable"
    """Accepted as a job that says why the frame cannot be judged."""
    REPEATED = "repeated"
    """Delivered before; nothing changed."""
    SPOOLED = "spooled"
    """Accepted, and waits on disk for a store."""
    DRAINED = "drained"
    """Handed on from the spool to the ledger."""
    REFUSED = "refused"
    """Accepted, and found impossible to hand on; set aside on disk."""
    REJECTED = "rejected"
    """Never accepted: not an image, no serial, and the like."""
    DROPPED = "dropped"
    """A live frame given up for a newer one, or for want of capacity."""
    WAITING = "waiting"
    """No store had capacity: the source waits and tries again."""
    RECONNECTED = "reconnected"
    """The camera was away and is tried again."""
    FAILED = "failed"
    """The source itself failed and is started again."""


_FRAME_ENDS = frozenset(
    {
        FrameOutcome.ACCEPTED,
        FrameOutcome.UNUSABLE,
        FrameOutcome.REPEATED,
        FrameOutcome.SPOOLED,
        FrameOutcome.REJECTED,
        FrameOutcome.DROPPED,
    }
)
_TAKEN = frozenset({FrameOutcome.ACCEPTED, FrameOutcome.UNUSABLE, FrameOutcome.SPOOLED})


@dataclass(slots=True)
class _Tally:
    """What happened and has not been told to the ledger yet."""

    counts: Counter[str] = field(default_factory=Counter)
    last_frames: dict[str, tuple[datetime, FrameOutcome]] = field(default_factory=dict)


class Health:
    """Counts outcomes in memory, and tells the ledger when it can be reached; safe between threads."""

    def __init__(self, name: str = "gateway") -> None:
        self._name = name
        self._started_at = datetime.now(UTC)
        self._lock = Lock()
        self._untold = _Tally()
        self._totals: Counter[tuple[str, FrameOutcome]] = Counter()
        self._last_error: str | None = None
        self.stages = Stages()
        """Where the gateway's time goes."""

    def note(self, camera_id: str, outcome: FrameOutcome) -> None:
        """Count an outcome; where it ends a frame, that is the camera's last frame."""
        with self._lock:
            self._totals[camera_id, outcome] += 1
            self._untold.counts[f"gateway.{outcome}"] += 1
            self._untold.counts[f"camera.{camera_id}.{outcome}"] += 1
            if outcome in _FRAME_ENDS:
                self._untold.last_frames[camera_id] = (datetime.now(UTC), outcome)

    def note_error(self, camera_id: str, error: Exception) -> None:
        """Count a failure of a source and keep its words for the heartbeat."""
        self.note(camera_id, FrameOutcome.FAILED)
        with self._lock:
            self._last_error = f"{camera_id}: {type(error).__name__}: {error}"

    def total(self, outcome: FrameOutcome, camera_id: str | None = None) -> int:
        """How often this happened since the start, at one camera or at all."""
        with self._lock:
            return sum(
                count
                for (camera, what), count in self._totals.items()
                if what == outcome and camera_id in {None, camera}
            )

    def tell(self, ledger: Ledger) -> None:
        """Send the heartbeat, last frames and counters; raises StoreUnavailable and keeps what is untold."""
        ledger.telemetry.heartbeat(self._heartbeat())
        for camera_id, (moment, outcome) in self._take_last_frames().items():
            ledger.telemetry.note_frame(camera_id, moment, outcome)
        for counter in list(self._untold.counts):
            self._tell_counter(ledger, counter)

    def _tell_counter(self, ledger: Ledger, counter: str) -> None:
        with self._lock:
            by = self._untold.counts[counter]
        if by:
            ledger.telemetry.count(counter, by)
            with self._lock:
                self._untold.counts[counter] -= by

    def _take_last_frames(self) -> dict[str, tuple[datetime, FrameOutcome]]:
        with self._lock:
            taken, self._untold.last_frames = self._untold.last_frames, {}
        return taken

    def _heartbeat(self) -> Heartbeat:
        finished = sum(self.total(outcome) for outcome in _TAKEN)
        failures = self.total(FrameOutcome.FAILED)
        with self._lock:
            return Heartbeat(
                name=self._name,
                kind="gateway",
                moment=datetime.now(UTC),
                started_at=self._started_at,
                finished=finished,
                failures=failures,
                last_error=self._last_error,
                stages=self.stages.summary(),
            )
