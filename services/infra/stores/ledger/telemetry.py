"""Telemetry beside the jobs: heartbeats, last frames and counters. It is news, not the truth."""

from datetime import UTC, datetime, timedelta

import structlog
from pydantic import ValidationError

from services.infra.process import names
from services.infra.process.heartbeat import Heartbeat
from services.infra.stores.ledger.connection import LedgerConnection
from services.infra.stores.ledger.records import CameraFrame
from services.infra.stores.redis_client import typed_errors

HEARTBEAT_KEPT = timedelta(days=1)

log = structlog.get_logger(__name__)


class Telemetry:
    """How processes and cameras are doing. Methods raise StoreUnavailable when the store is away."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._url = connection.url
        self._redis = connection.redis

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Notes that a process lives and how far it is, under its name."""
        with typed_errors(self._url):
            self._redis.hset(names.HEARTBEATS_HASH, heartbeat.name, heartbeat.model_dump_json())

    def heartbeats(self) -> list[Heartbeat]:
        """The last heartbeat of each process seen within a day, by name."""
        with typed_errors(self._url):
            found = self._redis.hgetall(names.HEARTBEATS_HASH)
            heartbeats = {name: _heartbeat(text) for name, text in found.items()}
            gone = [name for name, heartbeat in heartbeats.items() if heartbeat is None]
            if gone:
                self._redis.hdel(names.HEARTBEATS_HASH, *gone)
        return sorted(
            (heartbeat for heartbeat in heartbeats.values() if heartbeat is not None),
            key=lambda heartbeat: heartbeat.name,
        )

    def note_frame(self, camera_id: str, moment: datetime, outcome: str) -> None:
        """Notes a camera's newest frame and what became of it."""
        frame = CameraFrame(camera_id=camera_id, moment=moment, outcome=outcome)
        with typed_errors(self._url):
            self._redis.hset(names.CAMERAS_HASH, camera_id, frame.model_dump_json())

    def last_frames(self) -> list[CameraFrame]:
        """The newest frame of each camera, by camera."""
        with typed_errors(self._url):
            found = self._redis.hvals(names.CAMERAS_HASH)
        return sorted(map(CameraFrame.model_validate_json, found), key=lambda frame: frame.camera_id)

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a named counter."""
        with typed_errors(self._url):
            self._redis.hincrby(names.COUNTERS_HASH, name, by)

    def counters(self) -> dict[str, int]:
        """All named counters."""
        with typed_errors(self._url):
            found = self._redis.hgetall(names.COUNTERS_HASH)
        return {name: int(value) for name, value in found.items()}


def _heartbeat(text: str) -> Heartbeat | None:
    """The heartbeat, or None when it is older than a day or was written by a version that we cannot read."""
    try:
        heartbeat = Heartbeat.model_validate_json(text)
    except ValidationError as error:
        log.warning("unreadable heartbeat dropped", error=str(error))
        return None
    return heartbeat if heartbeat.moment >= datetime.now(UTC) - HEARTBEAT_KEPT else None
