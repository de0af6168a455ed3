"""The notice board beside the jobs: heartbeats, last frames and counters. Not truth, only news."""

from datetime import UTC, datetime, timedelta

import structlog
from pydantic import ValidationError

from services.infra.process import names
from services.infra.stores.ledger.port import CameraFrame, Heartbeat
from services.infra.stores.redis_client import connect, typed_errors, used_memory_fraction

HEARTBEAT_KEPT = timedelta(days=1)

log = structlog.get_logger(__name__)


class RedisBoard:
    """The part of Ledger that tells how the processes and cameras are doing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = connect(url, as_text=True)

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """See Ledger.heartbeat."""
        with typed_errors(self._url):
            self._redis.hset(names.HEARTBEATS_HASH, heartbeat.name, heartbeat.model_dump_json())

    def heartbeats(self) -> list[Heartbeat]:
        """See Ledger.heartbeats."""
        with typed_errors(self._url):
            found = self._redis.hgetall(names.HEARTBEATS_HASH)
            beats = {name: _heartbeat(text) for name, text in found.items()}
            gone = [name for name, heartbeat in beats.items() if heartbeat is None]
            if gone:
                self._redis.hdel(names.HEARTBEATS_HASH, *gone)
        return sorted(
            (heartbeat for heartbeat in beats.values() if heartbeat is not None),
            key=lambda heartbeat: heartbeat.name,
        )

    def note_frame(self, camera_id: str, moment: datetime, outcome: str) -> None:
        """See Ledger.note_frame."""
        frame = CameraFrame(camera_id=camera_id, moment=moment, outcome=outcome)
        with typed_errors(self._url):
            self._redis.hset(names.CAMERAS_HASH, camera_id, frame.model_dump_json())

    def last_frames(self) -> list[CameraFrame]:
        """See Ledger.last_frames."""
        with typed_errors(self._url):
            found = self._redis.hvals(names.CAMERAS_HASH)
        return sorted(map(CameraFrame.model_validate_json, found), key=lambda frame: frame.camera_id)

    def count(self, name: str, by: int = 1) -> None:
        """See Ledger.count."""
        with typed_errors(self._url):
            self._redis.hincrby(names.COUNTERS_HASH, name, by)

    def counters(self) -> dict[str, int]:
        """See Ledger.counters."""
        with typed_errors(self._url):
            found = self._redis.hgetall(names.COUNTERS_HASH)
        return {name: int(value) for name, value in found.items()}

    def used_fraction(self) -> float:
        """See Ledger.used_fraction."""
        with typed_errors(self._url):
            return used_memory_fraction(self._redis)


def _heartbeat(text: str) -> Heartbeat | None:
    """The beat, or None when it is older than a day or was written by a version that we cannot read."""
    try:
        heartbeat = Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("unreadable heartbeat dropped", error=str(error))
        return None
    return heartbeat if heartbeat.moment >= datetime.now(UTC) - HEARTBEAT_KEPT else None
