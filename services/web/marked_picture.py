"""A frame with what looked odd drawn over it."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from schemas.verdict import AnomalyMap, Box
from services.infra.intake import Rgb

LONGEST = 1000
"""Pixels of the longer side of a marked picture: enough for a printed page."""

USUAL = 0.4
"""Below this the map tells good parts from each other, and nothing is drawn."""

COLOUR = np.array([214, 40, 40], np.float32)
MOST_COLOUR = 0.6
LINE = 3


def marked_picture(frame: Rgb, seen: AnomalyMap) -> bytes:
    """JPEG of a frame [H, W, 3]: red where it is odd, a rectangle around the oddest region."""
    height, width = frame.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    small = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    odd = (_laid_over(small.shape, seen, scale) - USUAL) / (1 - USUAL)
    strength = np.clip(odd, 0.0, 1.0)[..., None] * MOST_COLOUR
    picture = Image.fromarray((small * (1 - strength) + COLOUR * strength).astype(np.uint8))
    if seen.hottest is not None:
        left, top, right, bottom = _corners(seen.hottest, scale)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((left, top, right, bottom), outline=(255, 255, 255), width=2 * LINE)
        draw.rectangle((left, top, right, bottom), outline=(214, 40, 40), width=LINE)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()


def _laid_over(shape: tuple[int, ...], seen: AnomalyMap, scale: float) -> NDArray[np.float32]:
    """The map [H, W] of 0 to 1 at a scale of the frame, zero outside the rectangle that was looked at."""
    grey = np.asarray(Image.open(io.BytesIO(seen.png)).convert("L"), np.float32) / 255
    left, top, right, bottom = _corners(seen.area, scale)
    whole: NDArray[np.float32] = np.zeros(shape[:2], np.float32)
    place = whole[top:bottom, left:right]
    place[:] = cv2.resize(grey, place.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return whole


def _corners(box: Box, scale: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom at a scale of the frame, at least one pixel apart."""
    left, top = int(box.x * scale), int(box.y * scale)
    right = max(left + 1, round((box.x + box.width) * scale))
    return left, top, right, max(top + 1, round((box.y + box.height) * scale))
