"""Tells a camera that sends the same picture again, so that no part is judged by another part's frame."""

from collections import deque
from dataclasses import dataclass

import cv2

from schemas.job import InspectionJob
from services.infra.intake import Grey, Picture

REMEMBERED = 8
"""Frames whose digests are kept: a driver that runs in circles repeats a few buffers, not only the last."""

SAME_GREY_LEVELS = 2
"""Largest difference of any pixel, of 255, in a picture that was only encoded again. Sensor noise moves some
pixel of a real second exposure by more; a mean over the picture would not do, since a small defect hardly
moves it."""


@dataclass(frozen=True, slots=True)
class _Earlier:
    result_id: str
    part_id: str
    digest: str


class FrozenGate:
    """The last frames of one camera, in memory only: after a restart the first frame has no predecessor."""

    def __init__(self) -> None:
        self._earlier: deque[_Earlier] = deque(maxlen=REMEMBERED)
        self._last_id = ""
        self._last_grey: Grey | None = None

    def reason(self, job: InspectionJob, picture: Picture) -> str | None:
        """Why the frame is taken for an earlier one, in words; None for a new or a repeated one."""
        for earlier in self._earlier:
            if earlier.digest == picture.digest and earlier.result_id != job.result_id:
                return f"frozen: the frame of part {earlier.part_id} was sent again"
        if self._last_id != job.result_id and _same_picture(self._last_grey, picture.grey):
            return f"frozen: no pixel differs by more than {SAME_GREY_LEVELS} of 255 from the frame before"
        return None

    def remember(self, job: InspectionJob, picture: Picture) -> None:
        """Keep a frame that was accepted, for comparison with the next ones."""
        if any(earlier.result_id == job.result_id for earlier in self._earlier):
            return
        self._earlier.append(_Earlier(job.result_id, job.part.part_id, picture.digest))
        self._last_id, self._last_grey = job.result_id, picture.grey


def _same_picture(before: Grey | None, grey: Grey) -> bool:
    if before is None or before.shape != grey.shape:
        return False
    return cv2.norm(before, grey, cv2.NORM_INF) <= SAME_GREY_LEVELS
