"""What the measurements on a GPU write down: rows of figures, line by line, so that none is lost."""

import json
import statistics
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import EngineError

FAILURES = (
    *(EngineError, RuntimeError, ValueError, ArithmeticError, OSError, AssertionError),
    *(TypeError, AttributeError, LookupError, ImportError),
)
"""What may go wrong in one measurement without ending the others: our errors, torch's, and the system's.

torch's errors of the device, out of memory among them, are RuntimeErrors. The last four are slips of a
program that has not met this device or these versions before.
"""


class Status(StrEnum):
    """How a measurement ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Row:
    """One figure; `value` is None where there is none, and `note` then says why."""

    section: str
    name: str
    value: float | None = None
    unit: str = ""
    note: str = ""
    status: Status = Status.OK


class Rows:
    """The rows of one section, each written to its file at once: a process that dies loses none of them."""

    def __init__(self, section: str, path: Path) -> None:
        self.section = section
        self.path = path
        self.path.write_text("", encoding="utf-8")

    def add(self, name: str, value: float, unit: str, note: str = "") -> None:
        """Write a figure down."""
        self._append(Row(self.section, name, value, unit, note))

    @contextmanager
    def attempt(self, *names: str) -> Iterator[None]:
        """Write down for each name what fails inside, and go on."""
        try:
            yield
        except FAILURES as failure:
            where = traceback.extract_tb(failure.__traceback__)[-1]
            note = f"{type(failure).__name__}: {failure} ({Path(where.filename).name}:{where.lineno})"
            for name in names:
                self._append(Row(self.section, name, note=note, status=Status.FAILED))

    def skip(self, name: str, reason: str) -> None:
        """Write down what was not measured."""
        self._append(Row(self.section, name, note=reason, status=Status.SKIPPED))

    def _append(self, row: Row) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows in a file; a last line that was cut off is left out."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    rows = [json.loads(line) for line in whole.splitlines()]
    return [Row(**{**row, "status": Status(row["status"])}) for row in rows]


@dataclass(frozen=True)
class Spread:
    """Median of repeated times, and where nine tenths of them lie, all in seconds."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(times: Sequence[float]) -> "Spread":
        """Of at least one time."""
        ordered = sorted(times)
        edge = len(ordered) // 20
        return Spread(statistics.median(ordered), ordered[edge], ordered[-1 - edge])

    def of_each(self, count: int) -> "Spread":
        """The same for one of so many alike that were timed together."""
        return Spread(self.median / count, self.low / count, self.high / count)

    def __str__(self) -> str:
        return f"{self.low * 1e3:.3f}-{self.high * 1e3:.3f} ms"
