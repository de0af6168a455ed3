"""What a source is: it holds out one frame at a time, and is told what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Protocol

from schemas.problem import Problem
from services.infra.intake import Picture
from services.infra.process.errors import LynceusError


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One picture and what its source knows about the part.

    `name` is the same whenever the same frame is held out again, so that a second delivery is recognised. A
    lot or job that the frame does not name is that of its source.
    """

    name: str
    picture: Picture
    part_id: str
    captured_at: datetime
    lot_id: str | None = None
    job_id: str | None = None


class Offer(Protocol):
    """One frame held out by a source; it stays the source's until `accepted` or `rejected` is called."""

    @property
    def name(self) -> str:
        """How a person finds this frame: the file's name, or the place in the video."""

    def read(self) -> SourceFrame:
        """The frame's picture and identity; raises LynceusError where either is wrong."""

    def may_become_right(self, error: LynceusError) -> bool:
        """Whether the frame may be right when it is held out again, because it is still being written."""

    def accepted(self) -> None:
        """The frame is safe in the ledger or the spool: the source may let go of it."""

    def rejected(self, problem: Problem) -> None:
        """The frame can never be taken: the source keeps it where a person finds it, with its problem."""


class Source(Protocol):
    """A camera, folder or file; used by one thread."""

    @property
    def waits_for_capacity(self) -> bool:
        """True where frames can wait for a full store; a live camera cannot, and its frame is dropped."""

    def offers(self, stop: Event) -> Iterator[Offer]:
        """Frames in order until the source ends or `stop` is set."""
