"""What a worker or result writer has done since it started, and the heartbeat that reports it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from services.infra.process.names import Queue
from services.infra.stores.ledger import Heartbeat

UNINSTALLED = "uninstalled"
"""The code version of a source tree that was never installed as a package."""


@cache
def code_version() -> str:
    """The version of the installed package."""
    try:
        return version("lynceus")
    except PackageNotFoundError:
        return UNINSTALLED


@dataclass
class Progress:
    """Counts what came to an end and what failed at the outermost loop; safe to use from any thread."""

    name: str
    kind: str
    queues: Sequence[Queue] = ()
    model_name: str | None = None
    model_digest: str | None = None
    device: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _finished: int = 0
    _failures: int = 0
    _last_error: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, count: int = 1) -> None:
        """Jobs were brought to an end."""
        with self._lock:
            self._finished += count

    def fail(self, error: BaseException) -> None:
        """The outermost loop caught an error."""
        with self._lock:
            self._failures += 1
            self._last_error = f"{type(error).__name__}: {error}"

    def heartbeat(self) -> Heartbeat:
        """The heartbeat as of now."""
        with self._lock:
            return Heartbeat(
                name=self.name,
                kind=self.kind,
                moment=datetime.now(UTC),
                started_at=self.started_at,
                finished=self._finished,
                failures=self._failures,
                last_error=self._last_error,
                queues=tuple(self.queues),
                model_name=self.model_name,
                model_digest=self.model_digest,
                device=self.device,
                code_version=code_version(),
            )
