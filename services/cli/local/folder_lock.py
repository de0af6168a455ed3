"""A folder belongs to one running command at a time: two would write the same files."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cli.errors import InputInvalid

LOCK_NAME = ".lock"


@contextmanager
def claimed(directory: Path) -> Iterator[Path]:
    """Makes the folder and holds it, as its absolute path; the kernel lets go of it when the process ends.

    Raises InputInvalid while another command holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputInvalid(
                f"another lynceus works in {directory}",
                hint="wait until it has ended, or name another folder with --directory",
            ) from None
        yield directory.absolute()
