"""Finds training pictures that show what a test picture shows: a test must measure what was never seen."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.training.samples import Pixels

SAME = 0.90
"""Correlation of two pictures at 48 x 48 above which they are copies."""

OVERLAPPING = 0.94
"""Correlation of half a test picture, anywhere in another, above which both show the same spot. Grooves
of different spots reach 0.938 by chance (measured against mirrored test pictures); true
overlaps begin at 0.95."""

Vectors = NDArray[np.float32]


def _grey(pixels: Pixels, size: int) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(pixels[..., 1], (size, size), interpolation=cv2.INTER_AREA), np.float32)


def orientations(picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The eight rotations and mirror images of a square picture, itself first."""
    turned = [np.rot90(picture, quarter) for quarter in range(4)]
    return [np.ascontiguousarray(view) for each in turned for view in (each, each[:, ::-1])]


def _unit(picture: NDArray[np.float32]) -> Vectors:
    centred = picture - picture.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32).ravel()


def copies(pictures: list[Pixels], tests: list[Pixels]) -> NDArray[np.bool_]:
    """Which pictures are a test picture, perhaps turned or mirrored."""
    ours = np.stack([_unit(_grey(each, 48)) for each in pictures])
    theirs = np.stack([_unit(view) for each in tests for view in orientations(_grey(each, 48))])
    return np.asarray((ours @ theirs.T).max(axis=1) > SAME)


def _quarters(picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    corners = ((0, 0), (0, 32), (32, 0), (32, 32), (16, 16))
    return [np.ascontiguousarray(picture[y : y + 32, x : x + 32]) for y, x in corners]


def overlaps(pictures: list[Pixels], tests: list[Pixels]) -> NDArray[np.bool_]:
    """Which pictures hold a quarter of a test picture, at the same scale and angle."""
    pieces = [piece for each in tests for piece in _quarters(_grey(each, 64))]
    return np.array([_holds_any(_grey(each, 64), pieces) for each in pictures], bool)


def _holds_any(picture: NDArray[np.float32], pieces: list[NDArray[np.float32]]) -> bool:
    return any(cv2.matchTemplate(picture, each, cv2.TM_CCOEFF_NORMED).max() > OVERLAPPING for each in pieces)


def leaked(pictures: list[Pixels], tests: list[Pixels]) -> NDArray[np.bool_]:
    """Which pictures are copies of a test picture or overlap one by a lot."""
    found = copies(pictures, tests)
    rest = np.flatnonzero(~found)
    found[rest] = overlaps([pictures[index] for index in rest], tests)
    return found
