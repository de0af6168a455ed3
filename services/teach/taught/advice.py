"""What more pictures would help, in sentences."""

from collections.abc import Iterator, Sequence

from engine.tuning import CurvePoint, TaughtPart
from services.teach.calibration import Calibration
from services.teach.evaluation.intervals import parts_needed

GAIN = 0.002
"""Expected rise of the balanced accuracy below which more pictures are not worth asking for."""

USUAL_ESCAPE = 0.05


def advice_on(part: TaughtPart, calibration: Calibration) -> Iterator[str]:
    """The class that wants pictures most, what a doubling brought, and what a bound asks for."""
    best = max(part.advice, key=lambda each: each.gain, default=None)
    if best is not None and best.gain >= GAIN:
        yield (
            f"{best.more} more pictures of `{best.label}` would help most: the balanced accuracy would rise "
            f"by about {best.gain:.1%}."
        )
    elif part.curve:
        yield "More pictures of the same kind would hardly change what is named."
    yield from _doubled(part.curve)
    needed = parts_needed(USUAL_ESCAPE, calibration.confidence)
    if calibration.bad_parts < needed:
        yield (
            f"{needed} bad parts without an escape would bound the escape rate by {USUAL_ESCAPE:.0%}; "
            f"there are {calibration.bad_parts}."
        )
    yield from calibration.remarks


def _doubled(curve: Sequence[CurvePoint]) -> Iterator[str]:
    if len(curve) > 1:
        before, after = curve[-2], curve[-1]
        yield (
            f"From {before.pictures:.0f} to {after.pictures:.0f} pictures a class the balanced accuracy went "
            f"from {before.accuracy:.1%} to {after.accuracy:.1%}."
        )
