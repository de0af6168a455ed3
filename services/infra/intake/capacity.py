"""Whether the stores take new frames: asked now and then, for all threads of one door."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from services.infra.process.errors import StoreFull
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger

CAPACITY_SECONDS = 0.25
"""How long the answer "there is capacity" holds.

A store that fills up meanwhile refuses by itself at its limit, and what it refuses was not accepted: the
marks only keep it from coming so far.
"""


@dataclass(slots=True)
class StoreCapacity:
    """Compares how full both stores are with their high-water marks.

    That a store is full is never remembered: it is asked again each time, so that capacity is seen at once.
    """

    frames: FrameStore
    ledger: Ledger
    frames_high_water: float
    ledger_high_water: float
    _holds_until: float = field(default=float("-inf"), init=False)

    def require(self) -> None:
        """Returns where both stores have capacity, or had some CAPACITY_SECONDS ago at most.

        Raises StoreFull, naming the store, and StoreUnavailable.
        """
        asked_at = time.monotonic()
        # Without a lock: two threads that both find the answer too old ask twice, and no thread waits behind
        # another one's timeout.
        if asked_at < self._holds_until:
            return
        _require("frame store", self.frames.used_fraction, self.frames_high_water)
        _require("ledger", self.ledger.used_fraction, self.ledger_high_water)
        self._holds_until = asked_at + CAPACITY_SECONDS


def _require(store: str, used_fraction: Callable[[], float], limit: float) -> None:
    if (used := used_fraction()) >= limit:
        raise StoreFull(
            f"the {store} is {used:.0%} full and takes no new frame from {limit:.0%} on",
            hint="submit again later; start more workers when this lasts",
        )
