"""How far compressing is, for a person who waits."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class CompressionProgress:
    """What is being done, and how many weights of how many are encoded."""

    doing: str
    done: int
    total: int


OnProgress = Callable[[CompressionProgress], None]


class Counter:
    """Counts encoded weights and tells."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._progress, self._on_progress = CompressionProgress("", 0, total), on_progress

    def begin(self, doing: str) -> None:
        """Say what comes next."""
        self._say(doing, self._progress.done)

    def add(self, weights: int) -> None:
        """Count more weights."""
        self._say(self._progress.doing, self._progress.done + weights)

    def _say(self, doing: str, done: int) -> None:
        self._progress = CompressionProgress(doing, done, self._progress.total)
        self._on_progress(self._progress)
