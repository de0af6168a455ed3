"""The folder beside the target in which a checkpoint grows; what has its final name in it is finished.

Files are written under another name and renamed, and so is the folder at the very end: a kill or a full disk
leaves nothing that loads, and the same command goes on from what is finished.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoint.tensors import INDEX, MANIFEST
from engine.errors import CheckpointUnwritten

SUFFIX = ".unfinished"
BEGUN = "begun.json"
REPORT_KEY = "report"
READABLE = 0o644
DESCRIPTIONS = ("*.json", "*.jinja", "*.model", "*.txt", "LICENSE*", "NOTICE*")
"""Files of the source that belong to the model beside its weights."""

Rows = dict[str, dict[str, Any]]
"""What the report says of each tensor, by its name in the source."""


def unfinished(target: Path) -> Path:
    """The folder in which a target grows."""
    return target.with_name(target.name + SUFFIX)


def expect_space(target: Path, needed: int) -> None:
    """Raise CheckpointUnwritten where the target exists, or its disk lacks so many free bytes."""
    if target.exists():
        raise CheckpointUnwritten(f"{target} exists already", "choose another folder, or remove this one")
    there = sum(path.stat().st_size for path in unfinished(target).glob("*"))
    parent = next(parent for parent in target.absolute().parents if parent.exists())
    free = shutil.disk_usage(parent).free
    if free + there < needed:
        raise CheckpointUnwritten(
            f"{target} takes {needed / 1e9:.2f} GB, and its disk has {(free + there) / 1e9:.2f} GB free",
            "free space or choose another disk",
        )


class Workshop:
    """Owns the growing folder; `identity` says what is being made, so that no two attempts are mixed.

    Raises CheckpointUnwritten where another attempt left its folder, or where writing fails.
    """

    def __init__(self, target: Path, identity: Mapping[str, Any]) -> None:
        self.target = target
        self.directory = unfinished(target)
        begun = self.directory / BEGUN
        with _told(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            if not begun.exists():
                self._write(BEGUN, json.dumps(identity, indent=1))
        if json.loads(begun.read_text(encoding="utf-8")) != identity:
            raise CheckpointUnwritten(
                f"{self.directory} was begun from another source, calibration or code",
                "repeat that command, or remove the folder",
            )

    def has(self, file: str) -> bool:
        """Whether this file is finished."""
        return (self.directory / file).exists()

    def save(self, file: str, tensors: Mapping[str, Tensor], rows: Rows) -> None:
        """Write a file of tensors, with what the report says of them."""
        with _told(self.directory), self._replacing(file) as path:
            save_file(dict(tensors), path, metadata={REPORT_KEY: json.dumps(rows)})
            path.chmod(READABLE)

    def tensors(self, file: str) -> dict[str, Tensor]:
        """All tensors of a finished file."""
        with safe_open(self.directory / file, framework="pt") as held:
            return {key: held.get_tensor(key) for key in held.keys()}  # noqa: SIM118 - not a dict

    def keys(self, file: str) -> list[str]:
        """The names of a finished file's tensors."""
        with safe_open(self.directory / file, framework="pt") as held:
            return sorted(held.keys())

    def rows(self, file: str) -> Rows:
        """What the report says of a finished file's tensors."""
        with safe_open(self.directory / file, framework="pt") as held:
            rows: Rows = json.loads(held.metadata()[REPORT_KEY])
        return rows

    def drop(self, pattern: str) -> None:
        """Remove files that are no longer needed."""
        for path in self.directory.glob(pattern):
            path.unlink()

    def finish(self, source: Path, descriptions: Mapping[str, Any]) -> None:
        """Add the source's own descriptions and ours (JSON, by file name), and give the folder its name."""
        with _told(self.directory):
            for path in sorted({path for pattern in DESCRIPTIONS for path in source.glob(pattern)}):
                if path.name not in (*descriptions, INDEX, MANIFEST):
                    shutil.copyfile(path, self.directory / path.name)
            for name, content in descriptions.items():
                self._write(name, json.dumps(content, indent=1) + "\n")
            (self.directory / BEGUN).unlink()
            self.directory.rename(self.target)
            _flush(self.target.parent)

    def _write(self, file: str, text: str) -> None:
        with self._replacing(file) as path:
            path.write_text(text, encoding="utf-8")

    @contextmanager
    def _replacing(self, file: str) -> Iterator[Path]:
        """A path to write to, which becomes the file once it is safely on disk."""
        path = self.directory / f"{file}.new"
        yield path
        _flush(path)
        path.rename(self.directory / file)
        _flush(self.directory)


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as fault:
        raise CheckpointUnwritten(
            f"cannot write to {directory}: {fault}",
            "free space or choose another disk; the same command goes on from what is finished",
        ) from fault
