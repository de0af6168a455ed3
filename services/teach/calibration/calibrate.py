"""From outcomes on held-out parts to thresholds, their bounds, the review load, and other aims beside."""

from collections.abc import Iterator

import numpy as np

from schemas.base import Message
from services.teach.calibration.aims import Aims
from services.teach.calibration.thresholds import GRID, accept_threshold, reject_threshold
from services.teach.errors import AimUnreachable
from services.teach.evaluation.figures import Rate
from services.teach.evaluation.intervals import parts_needed, upper_bound
from services.teach.evaluation.outcomes import Floats, Outcomes

WHAT_IF_ESCAPES = (0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.001)


class WhatIf(Message):
    """What another escape bound would mean on the same parts."""

    max_escape: float
    accept_below: float | None
    """None where these parts cannot carry the bound."""
    parts_needed: int
    """Bad parts that carry it when none of them escapes."""
    accepted: float | None
    """Share of the good parts that pass without a person."""
    review: float | None
    """Share of the good parts that a person must look at."""


class Calibration(Message):
    """Two thresholds, what they promise, and what they cost."""

    accept_below: float
    reject_from: float
    confidence: float
    good_parts: int
    bad_parts: int
    escapes: Rate
    overkill: Rate
    max_escape: float | None
    max_overkill: float | None
    accepted_good: float | None
    review_good: float | None
    review_bad: float | None
    """Shares of the good and bad parts that pass, or that a person must look at."""
    defect_share: float
    review_load: float
    """Expected share of all parts that a person must look at, at that share of bad parts."""
    what_if: tuple[WhatIf, ...]
    remarks: tuple[str, ...]
    """What these parts cannot show, in sentences."""


def calibrate(outcomes: Outcomes, aims: Aims, accept_below: float, reject_from: float) -> Calibration:
    """Thresholds that keep the aims; the present ones stay where no aim moves them.

    Raises AimUnreachable, with the number of parts that could carry the bound.
    """
    good, bad = outcomes.parts()
    lower = _accept(bad, aims, accept_below)
    upper = _reject(good, aims, reject_from)
    lower, upper = _in_order(lower, upper, aims)
    return _result(good, bad, aims, lower, upper)


def _accept(bad: Floats, aims: Aims, present: float) -> float:
    if aims.max_escape is None:
        return present
    found = accept_threshold(bad, aims.max_escape, aims.confidence) if len(bad) else None
    if found is None:
        raise _too_few("--max-escape", aims.max_escape, "bad", len(bad), aims.confidence)
    return found


def _reject(good: Floats, aims: Aims, present: float) -> float:
    if aims.max_overkill is None:
        return present
    found = reject_threshold(good, aims.max_overkill, aims.confidence) if len(good) else None
    if found is None:
        raise _too_few("--max-overkill", aims.max_overkill, "good", len(good), aims.confidence)
    return found


def _too_few(field: str, aim: float, kind: str, parts: int, confidence: float) -> AimUnreachable:
    needed = parts_needed(aim, confidence)
    mistake = "escape" if kind == "bad" else "overkill"
    if not parts:
        detail = f"there are no {kind} parts, and without them no {mistake} bound can be given at all"
    else:
        bound = upper_bound(0, parts, confidence)
        detail = (
            f"{parts} {kind} parts cannot carry it: even without one {mistake} among them "
            f"the bound at {confidence:.0%} is {bound:.2%}"
        )
    hint = f"measure {needed} {kind} parts of which none is mistaken"
    if parts:
        hint += f", or ask for {_rounded_up(upper_bound(0, parts, confidence))}"
    return AimUnreachable.of(field, f"{aim:.4g}", detail, hint)


def _rounded_up(share: float) -> str:
    return f"{np.ceil(share * 1000) / 10:.1f}%"


def _in_order(lower: float, upper: float, aims: Aims) -> tuple[float, float]:
    """Thresholds with accept_below at most reject_from.

    Where the bands overlap, every threshold between keeps both bounds and nothing needs review: one in the
    middle (in log odds) serves for both. A threshold without an aim stays, and the other stops at it: to
    accept less than was allowed, or to reject less, keeps a bound as well.
    """
    if lower <= upper:
        return lower, upper
    if aims.max_escape is None:
        return lower, lower
    if aims.max_overkill is None:
        return upper, upper
    between = GRID[(upper <= GRID) & (lower >= GRID)]
    middle = float(between[len(between) // 2])
    return middle, middle


def _result(good: Floats, bad: Floats, aims: Aims, lower: float, upper: float) -> Calibration:
    def between(scores: Floats) -> float | None:
        return float(((scores >= lower) & (scores < upper)).mean()) if len(scores) else None

    review_good, review_bad = between(good), between(bad)
    load = (1 - aims.defect_share) * (review_good or 0.0) + aims.defect_share * (review_bad or 0.0)
    return Calibration(
        accept_below=lower,
        reject_from=upper,
        confidence=aims.confidence,
        good_parts=len(good),
        bad_parts=len(bad),
        escapes=Rate.of(int((bad < lower).sum()), len(bad)),
        overkill=Rate.of(int((good >= upper).sum()), len(good)),
        max_escape=aims.max_escape,
        max_overkill=aims.max_overkill,
        accepted_good=float((good < lower).mean()) if len(good) else None,
        review_good=review_good,
        review_bad=review_bad,
        defect_share=aims.defect_share,
        review_load=load,
        what_if=tuple(_what_if(good, bad, aims, upper)),
        remarks=tuple(_remarks(good, bad, lower)),
    )


def _what_if(good: Floats, bad: Floats, aims: Aims, upper: float) -> Iterator[WhatIf]:
    for most in WHAT_IF_ESCAPES:
        found = accept_threshold(bad, most, aims.confidence) if len(bad) else None
        known = found is not None and len(good) > 0
        limit = min(found, upper) if found is not None else 0.0
        yield WhatIf(
            max_escape=most,
            accept_below=found,
            parts_needed=parts_needed(most, aims.confidence),
            accepted=float((good < limit).mean()) if known else None,
            review=float(((good >= limit) & (good < upper)).mean()) if known else None,
        )


def _remarks(good: Floats, bad: Floats, lower: float) -> Iterator[str]:
    if not len(bad):
        yield "There are no bad parts: overkill can be bounded, escapes cannot. Nothing will be accepted."
    if not len(good):
        yield "There are no good parts: escapes can be bounded, overkill and review load cannot."
    elif not (good < lower).any():
        yield "No good part would be accepted: a person must look at every one."
