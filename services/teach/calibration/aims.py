"""What a person asks of the thresholds: at most so many escapes, at most so many overkills."""

from dataclasses import dataclass

from services.teach.errors import TeachingError
from services.teach.evaluation.intervals import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Aims:
    """Bounds to keep; None leaves one open."""

    max_escape: float | None = None
    max_overkill: float | None = None
    confidence: float = CONFIDENCE
    defect_share: float = 0.01
    """Expected share of bad parts on the line, for the review load."""


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
