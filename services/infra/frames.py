"""Where encoded images wait until their result is stored."""

from typing import Protocol

from services.infra.errors import DuplicateConflict, FrameMissing


class FrameStore(Protocol):
    """Keeps one encoded image per result id; the first one put stays."""

    def put(self, result_id: str, data: bytes) -> None:
        """Keep the image; the same bytes again change nothing.

        Raises DuplicateConflict for other bytes under the same id, StoreFull, StoreUnavailable.
        """
        ...

    def get(self, result_id: str) -> bytes:
        """The image's bytes. Raises FrameMissing, StoreUnavailable."""
        ...

    def delete(self, result_id: str) -> None:
        """Drop the image; dropping what is not there changes nothing."""
        ...

    def used_fraction(self) -> float:
        """How full the store's memory is, 0 to 1; 0 when it has no limit."""
        ...


def conflict(result_id: str) -> DuplicateConflict:
    """The error for other bytes under a used id."""
    return DuplicateConflict(
        f"another image is already kept under {result_id!r}", mend="use a new result id for a new image"
    )


def missing(result_id: str) -> FrameMissing:
    """The error for an image that is not there."""
    return FrameMissing(
        f"no image is kept for {result_id!r}", mend="submit the image again under a new result id"
    )


class MemoryFrames:
    """Keeps images in this process, for tests and tools."""

    def __init__(self) -> None:
        self._frames: dict[str, bytes] = {}

    def put(self, result_id: str, data: bytes) -> None:
        """See FrameStore.put."""
        if self._frames.setdefault(result_id, data) != data:
            raise conflict(result_id)

    def get(self, result_id: str) -> bytes:
        """See FrameStore.get."""
        if result_id not in self._frames:
            raise missing(result_id)
        return self._frames[result_id]

    def delete(self, result_id: str) -> None:
        """See FrameStore.delete."""
        self._frames.pop(result_id, None)

    def used_fraction(self) -> float:
        """See FrameStore.used_fraction."""
        return 0.0
