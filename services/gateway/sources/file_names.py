"""Names of files as a file system has them: any bytes but `/`, and not longer than it takes."""

import os
from pathlib import Path

LONGEST_NAME = 255
"""Bytes of a name that Linux's file systems take."""

LONGEST_ENDING = 16
"""Bytes of what counts as a file's ending; a longer one is part of its name."""


def readable(path: Path) -> str:
    r"""The file's name as text that any record can hold; a byte that is not UTF-8 is shown as `\xdf`."""
    return os.fsencode(path.name).decode(errors="backslashreplace")


def numbered(path: Path, number: int, reserved: int) -> str:
    """The file's name, from 2 on with `.number` before its ending, cut so that `reserved` more bytes fit."""
    ending = os.fsencode(path.suffix)
    if len(ending) > LONGEST_ENDING:
        ending = b""
    stem = os.fsencode(path.name).removesuffix(ending)
    tail = (f".{number}".encode() if number > 1 else b"") + ending
    return os.fsdecode(stem[: LONGEST_NAME - reserved - len(tail)] + tail)
