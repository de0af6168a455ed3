"""What the gateway has done since it started; the one object that every thread adds to."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from threading import Lock

from services.infra.process.heartbeat import Progress, Stages
from services.infra.stores.ledger import Telemetry


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
        self._progress = Progress(name, kind="gateway")
        self._lock = Lock()
        self._untold = _Tally()
        self._totals: Counter[tuple[str, FrameOutcome]] = Counter()

    @property
    def stages(self) -> Stages:
        """Where the gateway's time goes."""
        return self._progress.stages

    def note(self, camera_id: str, outcome: FrameOutcome) -> None:
        """Count an outcome; where it ends a frame, that is the camera's last frame."""
        with self._lock:
            self._totals[camera_id, outcome] += 1
            self._untold.counts[f"gateway.{outcome}"] += 1
            self._untold.counts[f"camera.{camera_id}.{outcome}"] += 1
            if outcome in _FRAME_ENDS:
                self._untold.last_frames[camera_id] = (datetime.now(UTC), outcome)
        if outcome in _TAKEN:
            self._progress.finish()

    def note_error(self, camera_id: str, error: Exception) -> None:
        """Count a failure of a source and keep its words for the heartbeat."""
        self.note(camera_id, FrameOutcome.FAILED)
        self._progress.fail(error, where=camera_id)

    def total(self, outcome: FrameOutcome, camera_id: str | None = None) -> int:
        """How often this happened since the start, at one camera or at all."""
        with self._lock:
            return sum(
                count
                for (camera, what), count in self._totals.items()
                if what == outcome and camera_id in {None, camera}
            )

    def tell(self, telemetry: Telemetry) -> None:
        """Send the heartbeat, last frames and counters; raises StoreUnavailable and keeps what is untold."""
        telemetry.heartbeat(self._progress.heartbeat())
        for camera_id, (moment, outcome) in self._take_last_frames().items():
            telemetry.note_frame(camera_id, moment, outcome)
        for counter in list(self._untold.counts):
            self._tell_counter(telemetry, counter)

    def _tell_counter(self, telemetry: Telemetry, counter: str) -> None:
        with self._lock:
            by = self._untold.counts[counter]
        if by:
            telemetry.count(counter, by)
            with self._lock:
                self._untold.counts[counter] -= by

    def _take_last_frames(self) -> dict[str, tuple[datetime, FrameOutcome]]:
        with self._lock:
            taken, self._untold.last_frames = self._untold.last_frames, {}
        return taken
