"""A video file played as if a camera sent it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Event

from schemas.problem import FieldError
from services.gateway.sources.capture import Capture, CapturedFrame
from services.gateway.sources.config import VideoFileConfig
from services.infra.process.errors import FrameInvalid


class VideoSource:
    """Yields a video's frames at the video's own speed; a full store makes it wait, nothing is dropped."""

    waits_for_capacity = True

    def __init__(self, config: VideoFileConfig) -> None:
        self._config = config

    def offers(self, stop: Event) -> Iterator[CapturedFrame]:
        """Frames of one pass, or of one pass after another with `loop`; raises FrameInvalid for no video."""
        yield from self._one_pass(stop)
        while self._config.loop and not stop.is_set():
            yield from self._one_pass(stop)

    def _one_pass(self, stop: Event) -> Iterator[CapturedFrame]:
        capture = self._open()
        started, next_due_ms, prefix = time.monotonic(), 0.0, self._prefix()
        try:
            index = 0
            while not stop.is_set() and (pixels := capture.read()) is not None:
                position_ms = capture.position_ms
                if position_ms >= next_due_ms:
                    next_due_ms = position_ms + self._config.interval_ms
                    stop.wait(max(0.0, started + position_ms / 1000 - time.monotonic()))
                    name = f"{prefix}-{index:06d}"
                    yield CapturedFrame(name, pixels, name, datetime.now(UTC))
                index += 1
        finally:
            capture.close()

    def _open(self) -> Capture:
        path = self._config.path
        capture = Capture(path)
        if capture.opened:
            return capture
        hint = "give the path of a video file that FFmpeg can read"
        wrong = FieldError(field="path", value=str(path), detail="not a readable video", hint=hint)
        raise FrameInvalid(f"cannot open the video {path}", hint=hint, errors=[wrong])

    def _prefix(self) -> str:
        """Without `loop` the same for every run, so that playing a file again changes nothing."""
        camera_id = self._config.camera_id
        return f"{camera_id}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}" if self._config.loop else camera_id
