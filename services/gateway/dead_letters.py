"""Dead letters on their way to the ledger: what could not become a job, for everyone to see."""

from collections import deque
from dataclasses import dataclass
from threading import Lock

from schemas.problem import Problem
from services.infra.stores.ledger import JobQueue


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """One refused frame: its result id or its camera and name, what is wrong, and what it was."""

    frame_id: str
    problem: Problem
    payload: str


class DeadLetters:
    """Keeps refusals while the ledger is away; the frames themselves lie on disk with the same record."""

    def __init__(self) -> None:
        self._unsent: deque[RefusedFrame] = deque()
        self._lock = Lock()

    def add(self, refused: RefusedFrame) -> None:
        """Queue a refusal; never waits for the ledger."""
        with self._lock:
            self._unsent.append(refused)

    def send(self, jobs: JobQueue) -> None:
        """Send what is queued, oldest first; raises StoreError and keeps what was not sent."""
        while self._unsent:
            refused = self._unsent[0]
            jobs.refuse(refused.frame_id, refused.problem, refused.payload)
            self._unsent.popleft()
