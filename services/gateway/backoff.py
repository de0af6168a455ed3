"""How long to wait before trying again: twice as long each time, up to a limit."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Exponential delays in seconds, from `first` to `longest`."""

    first: float = 0.5
    longest: float = 30.0
    failures: int = 0

    def next_delay(self) -> float:
        """The delay after one more failure."""
        # The exponent is bounded so that years of failures cannot overflow a float.
        delay = min(self.longest, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay

    def reset(self) -> None:
        """It worked: the next failure waits for `first` again."""
        self.failures = 0
