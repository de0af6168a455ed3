"""OpenCV's door: every frame of a camera or a video leaves here as RGB, after a reconnect too."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from schemas.problem import Problem
from services.gateway.sources.offer import SourceFrame
from services.infra.intake import encode_picture
from services.infra.intake.images import Rgb, from_bgr
from services.infra.process.errors import LynceusError

OPEN_TIMEOUT_MS = 5000
READ_TIMEOUT_MS = 5000


class Capture:
    """An opened camera or video. Not safe between threads: one thread opens, reads and closes it."""

    def __init__(self, target: Path | str | int) -> None:
        """Open a video file, an address or a device number; `opened` tells whether that worked."""
        if isinstance(target, int):
            self._video = cv2.VideoCapture(target)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
            self._video = cv2.VideoCapture(str(target), cv2.CAP_FFMPEG, limits)

    @property
    def opened(self) -> bool:
        """Whether frames can be read."""
        return self._video.isOpened()

    def read(self) -> Rgb | None:
        """The next frame as RGB uint8 [H, W, 3], contiguous; None at the end or when the camera is gone."""
        there, bgr = self._video.read()
        if not there:
            return None
        return from_bgr(np.asarray(bgr, dtype=np.uint8))

    @property
    def position_ms(self) -> float:
        """Where in a video file the frame read last stands, in milliseconds from its start."""
        return float(self._video.get(cv2.CAP_PROP_POS_MSEC))

    def close(self) -> None:
        """Let go of the camera or file."""
        self._video.release()


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """An offer of pixels from a camera or a video; they are encoded only when they are read."""

    name: str
    pixels: Rgb
    part_id: str
    captured_at: datetime

    def read(self) -> SourceFrame:
        """The frame as a picture."""
        return SourceFrame(self.name, encode_picture(self.pixels), self.part_id, self.captured_at)

    def may_become_right(self, _error: LynceusError) -> bool:
        """Never: these pixels do not change any more."""
        return False

    def accepted(self) -> None:
        """A camera keeps nothing."""

    def rejected(self, _problem: Problem) -> None:
        """A camera keeps nothing; the dead-letter list holds the problem."""
