"""Dead letters on their way to the ledger: what could not become a job, for everyone to see."""

from collections import deque
from dataclasses import dataclass
from threading import Lock

from schemas.problem import Problem
from services.infra.stores.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Letter:
    """One refused frame: its result id or its camera and name, what is wrong, and what it was."""

    frame_id: str
    problem: Problem
    payload: str


class DeadLetters:
    """Keeps letters while the ledger is away; the frames themselves lie on disk with the same record."""

    def __init__(self) -> None:
        self._unsent: deque[Letter] = deque()
        self._lock = Lock()

    def add(self, letter: Letter) -> None:
        """Queue a letter; never waits for the ledger."""
        with self._lock:
            self._unsent.append(letter)

    def send(self, ledger: Ledger) -> None:
        """Send what is queued, oldest first; raises StoreError and keeps what was not sent."""
        while self._unsent:
            letter = self._unsent[0]
            ledger.refuse(letter.frame_id, letter.problem, letter.payload)
            self._unsent.popleft()
