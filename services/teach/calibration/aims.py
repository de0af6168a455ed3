"""What a person asks of the thresholds: at most so many escapes, at most so many overkills."""

from dataclasses import dataclass

from services.teach.errors import TeachingError
from services.teach.evaluation.intervals import CONFIDENCE, parts_needed

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
"""Bounds that are tried, the strictest first, where nobody set one."""


@dataclass(frozen=True, slots=True)
class Aims:
    """Bounds to keep; None leaves one open."""

    max_escape: float | None = None
    max_overkill: float | None = None
    confidence: float = CONFIDENCE
    defect_share: float = 0.01
    """Expected share of bad parts on the line, for the review load."""


def automatic_aims(good_parts: int, bad_parts: int, confidence: float = CONFIDENCE) -> Aims:
    """The strictest bounds that so many parts carry with a mistake among them; None where none does.

    Chosen by the counts alone and never by the scores, which would spoil the promise.
    """

    def strictest(parts: int) -> float | None:
        spared = (step for step in STEPS if parts_needed(step, confidence, mistakes=1) <= parts)
        without = (step for step in STEPS if parts_needed(step, confidence) <= parts)
        return next(spared, None) or next(without, None)

    return Aims(strictest(bad_parts), strictest(good_parts), confidence)


def parse_share(text: str, field: str) -> float:
    """A share as a person writes it: `0.5%` and `0.005` are the same. Raises TeachingError."""
    number = text.strip().removesuffix("%").strip()
    hint = "write a percentage such as 0.5%, or a fraction such as 0.005"
    try:
        share = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError as error:
        raise TeachingError.of(field, text, "is no number", hint) from error
    if not 0.0 < share < 1.0:
        raise TeachingError.of(field, text, "does not lie between 0 and 100 %", hint)
    return share
