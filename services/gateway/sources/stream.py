"""A live camera, RTSP or USB: always the newest frames, and back again after every break."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Condition, Event, Thread

from services.gateway.backoff import Backoff
from services.gateway.health import FrameOutcome
from services.gateway.sources.capture import Capture, CapturedFrame
from services.gateway.sources.config import RtspConfig, UsbConfig

_WAKE_SECONDS = 0.1


class LatestFrames:
    """A bounded queue between the camera's thread and the intake's: when it is full the OLDEST frame goes."""

    def __init__(self, capacity: int) -> None:
        self._frames: deque[CapturedFrame] = deque()
        self._capacity = capacity
        self._changed = Condition()

    def put(self, frame: CapturedFrame) -> bool:
        """Add the newest frame; True when the oldest had to go for it."""
        with self._changed:
            is_full = len(self._frames) >= self._capacity
            if is_full:
                self._frames.popleft()
            self._frames.append(frame)
            self._changed.notify()
            return is_full

    def get(self, seconds: float) -> CapturedFrame | None:
        """The oldest frame still here, waiting up to `seconds` for one."""
        with self._changed:
            if not self._frames:
                self._changed.wait(seconds)
            return self._frames.popleft() if self._frames else None


class StreamSource:
    """Reads a camera without pause in a thread of its own, so that a slow store never delays what it sees."""

    waits_for_capacity = False

    def __init__(
        self,
        config: RtspConfig | UsbConfig,
        note: Callable[[FrameOutcome], None],
        capacity: int = 4,
        backoff: Backoff | None = None,
    ) -> None:
        self._config = config
        self._note = note
        self._frames = LatestFrames(capacity)
        self._backoff = backoff or Backoff()

    def offers(self, stop: Event) -> Iterator[CapturedFrame]:
        """The camera's frames, at most one per `interval_ms`, until `stop` is set."""
        closing = Event()
        # A daemon, because a read from a camera that hangs ends only after OpenCV's own time limit.
        reader = Thread(target=self._read_until, args=(closing,), name=self._config.camera_id, daemon=True)
        reader.start()
        try:
            while not stop.is_set():
                if not reader.is_alive():
                    raise RuntimeError(f"the reading thread of camera {self._config.camera_id} died")
                if (frame := self._frames.get(_WAKE_SECONDS)) is not None:
                    yield frame
        finally:
            closing.set()

    def _read_until(self, closing: Event) -> None:
        while not closing.is_set():
            self._read_one_connection(closing)
            if closing.wait(self._backoff.next_delay()):
                return
            self._note(FrameOutcome.RECONNECTED)

    def _read_one_connection(self, closing: Event) -> None:
        """Read until the camera is gone; every connection reads through the same Capture, colours and all."""
        target = self._config.url if isinstance(self._config, RtspConfig) else self._config.device
        capture = Capture(target)
        due = 0.0
        try:
            while not closing.is_set() and capture.opened and (pixels := capture.read()) is not None:
                self._backoff.reset()
                if time.monotonic() < due:
                    continue
                due = time.monotonic() + self._config.interval_ms / 1000
                moment = datetime.now(UTC)
                name = f"{self._config.camera_id}-{moment:%Y%m%dT%H%M%S%f}"
                if self._frames.put(CapturedFrame(name, pixels, name, moment)):
                    self._note(FrameOutcome.DROPPED)
        finally:
            capture.close()
