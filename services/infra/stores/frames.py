"""Where encoded images wait until their result is stored."""

from collections.abc import Iterator, Sequence

from services.infra.process.errors import DuplicateConflict, FrameMissing, StoreFull
from services.infra.process.names import frame_key, last_frames_key
from services.infra.stores.redis_client import connect, typed_errors, used_memory_fraction

FRAME_KEPT_SECONDS = 7 * 86_400
"""Only a backstop against orphans: the result writer drops a frame once its result is stored."""


def conflict(result_id: str) -> DuplicateConflict:
    """The error for other bytes under a used id."""
    return DuplicateConflict(
        f"another image is already kept under {result_id!r}", hint="use a new result id for a new image"
    )


def missing(result_id: str) -> FrameMissing:
    """The error for an image that is not there."""
    return FrameMissing(
        f"no image is kept for {result_id!r}", hint="submit the image again under a new result id"
    )


class FrameStore:
    """Keeps images in the frames Redis; connects on first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = connect(url, as_text=False)

    def put(self, result_id: str, data: bytes) -> None:
        """Keep the image; the same bytes again change nothing.

        Raises DuplicateConflict for other bytes under the same id, StoreFull, StoreUnavailable.
        """
        key = frame_key(result_id)
        with typed_errors(self._url):
            while not self._redis.set(key, data, ex=FRAME_KEPT_SECONDS, nx=True):
                kept = self._redis.get(key)
                # None: it ran out between the two commands, so the next turn sets it.
                if kept is not None:
                    if kept != data:
                        raise conflict(result_id)
                    return

    def get(self, result_id: str) -> bytes:
        """The image's bytes. Raises FrameMissing, StoreUnavailable."""
        with typed_errors(self._url):
            data = self._redis.get(frame_key(result_id))
        if data is None:
            raise missing(result_id)
        return bytes(data)

    def get_many(self, result_ids: Sequence[str]) -> dict[str, bytes]:
        """The bytes of those images that are kept, in one step. Raises StoreUnavailable."""
        if not result_ids:
            return {}
        with typed_errors(self._url):
            found = self._redis.mget([frame_key(name) for name in result_ids])
        return {name: bytes(data) for name, data in zip(result_ids, found, strict=True) if data is not None}

    def delete(self, *result_ids: str) -> None:
        """Drop these images, in one step; dropping what is not there changes nothing."""
        if result_ids:
            with typed_errors(self._url):
                self._redis.unlink(*map(frame_key, result_ids))

    def retire(self, station_id: str, result_ids: Sequence[str], kept: int) -> None:
        """Drop these images but the last `kept` of the station, which people look at a little longer."""
        if not result_ids:
            return
        shelf = last_frames_key(station_id)
        try:
            with typed_errors(self._url), self._redis.pipeline(transaction=False) as pipeline:
                for result_id in result_ids:
                    pipeline.lrem(shelf, 0, result_id)
                    pipeline.lpush(shelf, result_id)
                pipeline.lrange(shelf, kept, -1)
                pipeline.ltrim(shelf, 0, kept - 1)
                pipeline.expire(shelf, FRAME_KEPT_SECONDS)
                beyond = pipeline.execute()[-3]
        except StoreFull:
            # A full store must not keep what is there to be looked at only.
            self.delete(*result_ids)
        else:
            self.delete(*(name.decode() for name in beyond))

    def ids(self) -> Iterator[str]:
        """The result ids of all images kept, in any order; one that comes or goes meanwhile may be missed."""
        prefix = frame_key("")
        with typed_errors(self._url):
            for key in self._redis.scan_iter(match=f"{prefix}*", count=500):
                yield key.decode().removeprefix(prefix)

    def used_fraction(self) -> float:
        """How full the store's memory is, 0 to 1; 0 when it has no limit."""
        with typed_errors(self._url):
            return used_memory_fraction(self._redis)
