"""Looks at every picture once, a few at a time, and keeps no more of each than a thumbnail."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.infra.intake.images import Preview, preview
from services.infra.process.errors import FrameTooLarge, LynceusError
from services.teach.data.pictures import Finding, Level

SIDE = 32
"""Pixels a side of the thumbnail by which copies are found."""

AT_ONCE = 256
"""Pictures handed to the threads together; bounds what is in memory."""

TWELVE_BITS = 4095
DARK = 10.0
FLAT = 2.0

ProgressCallback = Callable[[int, int], None]
"""Called with how many pictures are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a picture file told."""

    path: Path
    digest: bytes
    """SHA-256 of the file, 32 bytes."""
    size_bytes: int
    width: int = 0
    height: int = 0
    brightness: float = 0.0
    """Mean grey value, 0 to 255."""
    thumbnail: NDArray[np.uint8] | None = None
    """[SIDE, SIDE]; None where the file does not decode."""
    findings: tuple[Finding, ...] = ()


def look_at(paths: Sequence[Path], progress: ProgressCallback | None = None) -> Iterator[Look]:
    """A look at each file, in order; reading and decoding run in threads beside each other."""
    done = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
        for start in range(0, len(paths), AT_ONCE):
            for look in threads.map(_look, paths[start : start + AT_ONCE]):
                done += 1
                if progress is not None:
                    progress(done, len(paths))
                yield look


def _look(path: Path) -> Look:
    try:
        data = path.read_bytes()
    except OSError as error:
        wrong = Finding(Level.ERROR, "picture-unreadable", str(error), "make the file readable", path)
        return Look(path, b"", 0, findings=(wrong,))
    digest = hashlib.sha256(data).digest()
    try:
        seen = preview(data, SIDE)
    except LynceusError as error:
        code = "picture-too-large" if isinstance(error, FrameTooLarge) else "picture-corrupt"
        wrong = Finding(Level.ERROR, code, error.detail, error.hint or "export it again", path)
        return Look(path, digest, len(data), findings=(wrong,))
    brightness = float(seen.grey.mean())
    findings = (*_name(path), *_pixels(path, seen, brightness))
    return Look(path, digest, len(data), seen.width, seen.height, brightness, seen.grey, findings)


def _name(path: Path) -> Iterator[Finding]:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        detail = "the file name is no valid Unicode"
        yield Finding(Level.WARNING, "name-not-unicode", detail, "rename the file", path)


def _pixels(path: Path, seen: Preview, brightness: float) -> Iterator[Finding]:
    if seen.bits == 16:
        detail = "has 16 bits a pixel; it is judged at 8"
        yield Finding(Level.NOTE, "sixteen-bit", detail, "nothing to do", path)
        if seen.brightest <= TWELVE_BITS:
            detail = f"has 16 bits a pixel, and its brightest value is {seen.brightest}: it will look black"
            hint = "export 12-bit cameras scaled to the full range"
            yield Finding(Level.WARNING, "twelve-in-sixteen-bit", detail, hint, path)
    if seen.turned:
        detail = "EXIF says that it is stored turned; it is judged upright"
        hint = "check that labels and masks were drawn on the upright picture"
        yield Finding(Level.NOTE, "exif-rotation", detail, hint, path)
    if seen.bits == 8 and brightness < DARK:
        detail = f"is dark: mean grey value {brightness:.0f}"
        yield Finding(Level.WARNING, "picture-dark", detail, "check lamp and exposure", path)
    elif float(seen.grey.std()) < FLAT:
        detail = f"shows nothing: its grey values differ by {seen.grey.std():.1f}"
        yield Finding(Level.WARNING, "picture-flat", detail, "check that a part was in view", path)
