"""Finds training pictures that show what a test picture shows: a test must measure what was never seen."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from starter.pictures.samples import Pixels

SAME = 0.90
"""Correlation of two pictures at 48 x 48 above which they are copies."""

PROMISING = 0.86
"""Correlation of a quarter of a test picture with some place of another, at 64 x 64, from which on it is
looked at in full size."""

OVERLAPPING = 0.93
"""The same at full size, above which both show the same spot. Measured on mcbt: mirrored test pictures, which
cannot overlap, reach 0.921 by the likeness of their grooves alone."""

COARSE = 64
CORNERS = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5), (0.25, 0.25))
"""Top left of the quarters that are looked for, in fractions."""

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


@dataclass(frozen=True)
class Scales:
    """A square picture small and at full size."""

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]

    def quarter(self, top: float, left: float) -> "Scales":
        """A part half as high and half as wide, its corner in fractions."""
        return Scales(*(_quarter(plane, top, left) for plane in (self.coarse, self.fine)))


def _quarter(plane: NDArray[np.float32], top: float, left: float) -> NDArray[np.float32]:
    side = plane.shape[0]
    y, x = int(top * side), int(left * side)
    return np.ascontiguousarray(plane[y : y + side // 2, x : x + side // 2])


def _scales(pixels: Pixels) -> Scales:
    return Scales(_grey(pixels, COARSE), _grey(pixels, pixels.shape[0]))


def overlaps(pictures: list[Pixels], tests: list[Pixels]) -> NDArray[np.bool_]:
    """Which pictures hold a quarter of a test picture, at the same scale and angle."""
    pieces = [_scales(each).quarter(*corner) for each in tests for corner in CORNERS]
    suspects = (_scales(each) for each in pictures)
    return np.array([any(_holds(suspect, piece) for piece in pieces) for suspect in suspects], bool)


def _holds(picture: Scales, piece: Scales) -> bool:
    found = cv2.matchTemplate(picture.coarse, piece.coarse, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(found)
    if best < PROMISING:
        return False
    # The small pictures place the piece to within a pixel of theirs.
    step = picture.fine.shape[0] // COARSE
    side, slack = piece.fine.shape[0], step + 1
    rows = slice(max(0, y * step - slack), y * step + side + slack)
    columns = slice(max(0, x * step - slack), x * step + side + slack)
    match = cv2.matchTemplate(picture.fine[rows, columns], piece.fine, cv2.TM_CCOEFF_NORMED)
    return bool(match.max() > OVERLAPPING)


def leaked(pictures: list[Pixels], tests: list[Pixels]) -> NDArray[np.bool_]:
    """Which pictures are copies of a test picture or overlap one by a lot."""
    found = copies(pictures, tests)
    rest = np.flatnonzero(~found)
    found[rest] = overlaps([pictures[index] for index in rest], tests)
    return found
