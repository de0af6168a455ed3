"""The gateway's disk spool: frames that wait while Redis is away or full."""

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from schemas.job import InspectionJob
from schemas.problem import Problem
from services.infra.process.errors import RecordInvalid, StoreFull, StoreUnavailable

_JOB = ".json"
_FRAME = ".frame"
_UNFINISHED = ".part"
_PROBLEM = ".problem.json"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Spooled:
    """One frame that waits: its name in the spool, its job, and the encoded image."""

    name: str
    job: InspectionJob
    data: bytes


class Spool:
    """A bounded folder of file pairs (job, image), owned by one process.

    What `put` returned from survives a power cut: both files are synced, and the job file is renamed into
    place last, so a pair is complete exactly when its job file is there.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._refused = directory / "refused"
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        with _typed_disk_errors(directory):
            self._refused.mkdir(parents=True, exist_ok=True)
            self._sizes = self._sweep()

    def __len__(self) -> int:
        with self._lock:
            return len(self._sizes)

    def put(self, job: InspectionJob, data: bytes) -> None:
        """Keep a frame and its job, once per result id.

        Raises StoreFull when it would exceed `max_bytes` or the disk is full, StoreUnavailable for other
        disk errors; nothing is kept then.
        """
        text = job.model_dump_json().encode()
        size = len(text) + len(data)
        with self._lock, _typed_disk_errors(self._directory):
            if any(_result_id(name) == job.result_id for name in self._sizes):
                return
            if sum(self._sizes.values()) + size > self._max_bytes:
                raise StoreFull(
                    f"the spool {self._directory} holds its {self._max_bytes} bytes",
                    hint="bring Redis back, or raise LYNCEUS_SPOOL_MAX_BYTES",
                )
            name = f"{time.time_ns():020d}-{job.result_id}"
            self._write_pair(name, text, data)
            self._sizes[name] = size

    def oldest(self) -> Spooled | None:
        """The frame that waits longest, or None; a pair that cannot be read is set aside on the way."""
        while (name := self._oldest_name()) is not None:
            try:
                with _typed_disk_errors(self._directory):
                    return self._read_pair(name)
            except RecordInvalid as error:
                self.set_aside(name, error.problem())
        return None

    def delete(self, name: str) -> None:
        """Drop a frame that was handed on; the job file goes first, so no half pair is ever read."""
        with self._lock, _typed_disk_errors(self._directory):
            self._path(name, _JOB).unlink(missing_ok=True)
            self._path(name, _FRAME).unlink(missing_ok=True)
            self._sizes.pop(name, None)

    def set_aside(self, name: str, problem: Problem) -> None:
        """Move a frame that can never be handed on to the folder `refused`, with the reason beside it."""
        with self._lock, _typed_disk_errors(self._directory):
            (self._refused / (name + _PROBLEM)).write_text(problem.model_dump_json(indent=2))
            for suffix in (_JOB, _FRAME):
                path = self._path(name, suffix)
                if path.exists():
                    path.rename(self._refused / path.name)
            self._sizes.pop(name, None)
        log.warning("spooled frame set aside", name=name, code=problem.code, detail=problem.detail)

    def _sweep(self) -> dict[str, int]:
        for unfinished in self._directory.glob("*" + _UNFINISHED):
            unfinished.unlink()
        names = {path.name.removesuffix(_JOB) for path in self._directory.glob("*" + _JOB)}
        for frame in self._directory.glob("*" + _FRAME):
            if frame.name.removesuffix(_FRAME) not in names:
                frame.unlink()
        return {name: self._size_on_disk(name) for name in sorted(names)}

    def _size_on_disk(self, name: str) -> int:
        paths = (self._path(name, _JOB), self._path(name, _FRAME))
        return sum(path.stat().st_size for path in paths if path.exists())

    def _oldest_name(self) -> str | None:
        with self._lock:
            return min(self._sizes, default=None)

    def _write_pair(self, name: str, text: bytes, data: bytes) -> None:
        try:
            for suffix, content in ((_FRAME, data), (_JOB, text)):
                _write_synced(self._path(name, suffix), content)
        except OSError:
            for suffix in (_FRAME, _FRAME + _UNFINISHED, _JOB + _UNFINISHED):
                self._path(name, suffix).unlink(missing_ok=True)
            raise

    def _read_pair(self, name: str) -> Spooled:
        job_path = self._path(name, _JOB)
        try:
            job = InspectionJob.model_validate_json(job_path.read_bytes())
            return Spooled(name, job, self._path(name, _FRAME).read_bytes())
        except (ValidationError, FileNotFoundError) as error:
            raise RecordInvalid(
                f"{job_path} cannot be read: {error}", hint="submit the image in the folder `refused` again"
            ) from error

    def _path(self, name: str, suffix: str) -> Path:
        return self._directory / (name + suffix)


def _result_id(name: str) -> str:
    return name.partition("-")[2]


def _write_synced(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + _UNFINISHED)
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _typed_disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(f"no space left under {directory}", hint="free disk space") from error
        raise StoreUnavailable(
            f"{directory}: {error}", hint="check the folder and its permissions"
        ) from error
