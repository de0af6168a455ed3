"""What more pictures would help, in sentences."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from services.teach.calibration import Calibration
from services.teach.evaluation.intervals import parts_needed
from services.teach.evaluation.outcomes import Outcomes
from services.teach.taught.curve import CurvePoint

MORE = 20
"""Pictures that are asked for at a time."""

GAIN = 0.01
"""Rise of the balanced accuracy by a doubling from which on more pictures are worth taking."""

UNSURE = 0.1
"""Mean log loss of a class above which it is not learned well."""

USUAL_ESCAPE = 0.05


def advice_on(outcomes: Outcomes, curve: Sequence[CurvePoint], calibration: Calibration) -> Iterator[str]:
    """The class that wants pictures most, whether doubling still helps, and what a bound asks for."""
    yield from _weakest_class(outcomes)
    if len(curve) > 1:
        before, after = curve[-2], curve[-1]
        gain = after.balanced_accuracy - before.balanced_accuracy
        helped = (
            "more pictures will help" if gain >= GAIN else "more pictures of the same kind will hardly help"
        )
        yield (
            f"From {before.pictures} to {after.pictures} pictures the balanced accuracy went from "
            f"{before.balanced_accuracy:.1%} to {after.balanced_accuracy:.1%}: {helped}."
        )
    needed = parts_needed(USUAL_ESCAPE, calibration.confidence)
    if calibration.bad_parts < needed:
        yield (
            f"{needed} bad parts without an escape would bound the escape rate by {USUAL_ESCAPE:.0%}; "
            f"there are {calibration.bad_parts}."
        )
    yield from calibration.remarks


def _weakest_class(outcomes: Outcomes) -> Iterator[str]:
    losses: dict[str, list[float]] = defaultdict(list)
    wrong: dict[str, int] = defaultdict(int)
    for item, named in zip(outcomes.items, outcomes.named, strict=True):
        losses[item.truth].append(-float(np.log(max(item.probabilities[item.truth], 1e-9))))
        wrong[item.truth] += named != item.truth
    weakest = max(sorted(losses), key=lambda name: float(np.mean(losses[name])))
    if np.mean(losses[weakest]) >= UNSURE:
        count, mistaken = len(losses[weakest]), wrong[weakest]
        named = f"{mistaken} of {count} were named wrongly"
        yield f"{MORE} more pictures of `{weakest}` would help most: {named}."
