"""A watched folder: one image file is one part, taken when it is whole, and moved when it is safe."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event

from schemas.problem import FieldError, Problem
from services.gateway.sources.config import FolderConfig
from services.gateway.sources.file_names import numbered, readable
from services.gateway.sources.offer import SourceFrame
from services.gateway.sources.settling import Settling, Signature
from services.gateway.sources.sidecar import has_sidecar, read_sidecar, sidecar_path
from services.infra.intake import read_picture
from services.infra.intake.images import require_bytes
from services.infra.process.errors import BadRequest, LynceusError

PROCESSED = "processed"
REJECTED = "rejected"
PROBLEM_SUFFIX = ".problem.json"
UNFINISHED_SUFFIXES = {".part", ".tmp"}
"""Names under which copying programs write; such a file is taken once it has its real name."""

_LOOK_SECONDS = 0.1
_SWEEP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class FileOffer:
    """One image file of a watched folder, with its sidecar."""

    path: Path
    is_final: bool
    """False while the file may still be being copied."""

    @property
    def name(self) -> str:
        """The file's name in its folder, as text."""
        return readable(self.path)

    def read(self) -> SourceFrame:
        """The file's picture.

        Raises BadRequest for a wrong sidecar and for a file that is gone or forbidden, and what
        `read_picture` raises.
        """
        sidecar = read_sidecar(self.path)
        try:
            stat = self.path.stat()
            require_bytes(stat.st_size)
            data = self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.name, error) from error
        captured_at = datetime.fromtimestamp(stat.st_mtime, UTC)
        part_id = sidecar.part_id or self.name.removesuffix(self.path.suffix)
        return SourceFrame(
            self.name, read_picture(data), part_id, captured_at, sidecar.lot_id, sidecar.job_id
        )

    def may_become_right(self, _error: LynceusError) -> bool:
        """Until its patience is over any fault may come from a copy that is still under way."""
        return not self.is_final

    def accepted(self) -> None:
        """Move the file and its sidecar to `processed/`."""
        self._move_to(self._free_place(PROCESSED))

    def rejected(self, problem: Problem) -> None:
        """Move the file and its sidecar to `rejected/`, the problem first: no file lies there without one."""
        place = self._free_place(REJECTED)
        place.with_name(place.name + PROBLEM_SUFFIX).write_text(problem.model_dump_json(indent=2) + "\n")
        self._move_to(place)

    def _free_place(self, subfolder: str) -> Path:
        """The file's name in the subfolder, numbered where an earlier file or its sidecar has it."""
        folder = self.path.parent / subfolder
        folder.mkdir(exist_ok=True)
        places = (folder / numbered(self.path, number, len(PROBLEM_SUFFIX)) for number in count(1))
        return next(place for place in places if not place.exists() and not sidecar_path(place).exists())

    def _move_to(self, place: Path) -> None:
        if has_sidecar(self.path):
            sidecar_path(self.path).replace(sidecar_path(place))
        self.path.replace(place)


class FolderSource:
    """Offers the files of a folder in the order they were written; a full store makes them wait."""

    waits_for_capacity = True

    def __init__(self, config: FolderConfig) -> None:
        self._config = config
        self._settling = Settling(config.settle_ms / 1000, config.patience_seconds)
        self._sweep_due = time.monotonic()

    def offers(self, stop: Event) -> Iterator[FileOffer]:
        """Files as they become whole, until `stop` is set; makes the folder where it is missing."""
        self._config.path.mkdir(parents=True, exist_ok=True)
        # Looked at again and again: a network folder tells of no change, and no notifier knows every name.
        while not stop.wait(_LOOK_SECONDS):
            for path in self._settling.ready(self._signatures()):
                if stop.is_set():
                    return
                yield FileOffer(path, self._settling.note_offer(path))
            self._sweep_when_due()

    def _signatures(self) -> dict[Path, Signature]:
        """The files of the folder in the order they were last written."""
        candidates = [path for path in self._config.path.iterdir() if _is_candidate(path)]
        found = [(path, signature) for path in candidates if (signature := _signature(path))]
        return dict(sorted(found, key=lambda item: (item[1][1], item[0])))

    def _sweep_when_due(self) -> None:
        if time.monotonic() < self._sweep_due:
            return
        self._sweep_due = time.monotonic() + _SWEEP_SECONDS
        oldest = time.time() - self._config.keep_days * 86400
        for path in (self._config.path / PROCESSED).glob("*"):
            if path.is_file() and path.stat().st_ctime < oldest:
                path.unlink(missing_ok=True)


def _is_candidate(path: Path) -> bool:
    unfinished = path.name.startswith(".") or path.suffix.lower() in UNFINISHED_SUFFIXES
    return not unfinished and path.suffix != ".json" and path.is_file()


def _signature(image: Path) -> Signature:
    """Size and time of the image, then of its sidecar; empty when the image is gone meanwhile."""
    try:
        stat = image.stat()
    except FileNotFoundError:
        return ()
    if not has_sidecar(image):
        return (stat.st_size, stat.st_mtime_ns)
    try:
        beside = sidecar_path(image).stat()
    except FileNotFoundError:
        return ()
    return (stat.st_size, stat.st_mtime_ns, beside.st_size, beside.st_mtime_ns)


def _unreadable(name: str, error: OSError) -> BadRequest:
    hint = "give the gateway the right to read the file"
    wrong = FieldError(field="file", file=name, detail=str(error.strerror), hint=hint)
    return BadRequest(f"cannot read {name}: {error.strerror}", hint=hint, errors=[wrong])
