"""When a file is whole: offered once it stands still, and judged for good once it has stood still long."""

import time
from dataclasses import dataclass
from pathlib import Path

Signature = tuple[int, ...]
"""Sizes and modification times; another value means that somebody is still writing."""

AGAIN_SECONDS = 5.0
"""How often a file is offered again that is still there after its last chance: its taker was at fault."""


@dataclass(slots=True)
class _Seen:
    signature: Signature
    since: float
    """When this signature was seen first, in time.monotonic seconds."""
    next_offer: float


class Settling:
    """Follows the files of one folder from their first byte until they are gone.

    A file is offered when it has settled, and again when its patience is over: whoever could not read it
    the first time then knows that it will not change any more.
    """

    def __init__(self, settle_seconds: float, patience_seconds: float) -> None:
        self._settle = settle_seconds
        self._patience = patience_seconds
        self._seen: dict[Path, _Seen] = {}

    def ready(self, signatures: dict[Path, Signature]) -> list[Path]:
        """Which of the files that are there now may be offered, in the given order."""
        moment = time.monotonic()
        for gone in self._seen.keys() - signatures.keys():
            del self._seen[gone]
        return [path for path, found in signatures.items() if self._is_ready(path, found, moment)]

    def note_offer(self, path: Path) -> bool:
        """Say that a ready file is offered now; True when it is not given more time to become whole."""
        moment, seen = time.monotonic(), self._seen[path]
        patience_over = seen.since + self._patience
        is_final = moment >= patience_over
        seen.next_offer = moment + AGAIN_SECONDS if is_final else patience_over
        return is_final

    def _is_ready(self, path: Path, found: Signature, moment: float) -> bool:
        seen = self._seen.get(path)
        if seen is None or seen.signature != found:
            seen = self._seen[path] = _Seen(found, moment, next_offer=moment + self._settle)
        return moment >= seen.next_offer
