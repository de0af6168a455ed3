"""Where the encoded images of finished parts are kept on disk: <day of the verdict>/<recipe>/<result id>."""

import os
import shutil
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

from schemas.verdict import Verdict
from services.infra.process.errors import FrameMissing, StoreUnavailable

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/webp": ".webp",
}


class Archive:
    """Keeps one image per result; the images of one day and recipe are one folder, dropped whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, verdict: Verdict) -> Path:
        """The file that holds, or would hold, the image behind a verdict."""
        day = verdict.creation_time.date().isoformat()
        name = verdict.result_id + _SUFFIXES[verdict.frame.media_type]
        return self._directory / day / verdict.part.recipe_id / name

    def put(self, images: Iterable[tuple[Verdict, bytes]]) -> None:
        """Keeps the image behind each verdict; all are on disk when this returns.

        The same again changes nothing. Raises StoreUnavailable for a disk that is full or cannot be written.
        """
        folders = set()
        try:
            for verdict, data in images:
                path = self.path(verdict)
                _write(path, data)
                folders.add(path.parent)
            for folder in folders:
                _sync_directory(folder)
        except OSError as error:
            raise StoreUnavailable(
                f"the archive {self._directory} cannot be written: {error}",
                hint="free space, or let this process write there",
            ) from error

    def get(self, verdict: Verdict) -> bytes:
        """The image behind a verdict. Raises FrameMissing when it was dropped or never archived."""
        try:
            return self.path(verdict).read_bytes()
        except FileNotFoundError as error:
            raise FrameMissing(
                f"no image is archived for {verdict.result_id!r}",
                hint="the recipe's retention says which images are kept, and for how many days",
            ) from error

    def sweep(self, today: date, days_kept: Callable[[str], int]) -> int:
        """Drops what is older than `days_kept(recipe_id)` days; returns how many folders went.

        Folders that are not days are somebody else's and stay.
        """
        dropped = 0
        for folder in sorted(self._directory.glob("*/*/")):
            day = _day(folder.parent.name)
            if day is not None and today - day > timedelta(days=days_kept(folder.name)):
                shutil.rmtree(folder)
                dropped += 1
        return dropped


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _sync_directory(directory: Path) -> None:
    """Makes the new name itself durable (fsync(2): the directory needs a sync of its own)."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
