"""Computes every figure of an evaluation from outcomes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from services.teach.errors import TooFewPictures
from services.teach.evaluation.figures import (
    ClassFigures,
    Evaluation,
    Mistake,
    Point,
    Rate,
    ReliabilityBin,
    Slice,
)
from services.teach.evaluation.intervals import wilson
from services.teach.evaluation.outcomes import Floats, Outcomes

CURVE_POINTS = 200
BINS = 10
WORST = 24
SMALLEST_SLICE = 5
BRIGHTNESS = ("dark third", "middle third", "bright third")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: the recipe and its thresholds, the artefact, and where the scores come from."""

    recipe: str
    version: int
    taught_digest: str | None
    folder: str
    scores: str
    accept_below: float
    reject_from: float
    measured_at: datetime


def evaluate(outcomes: Outcomes, subject: Subject) -> Evaluation:
    """All figures. Raises TooFewPictures when there is no picture of a class that the recipe has."""
    if not len(outcomes):
        raise TooFewPictures.of(
            "DIR", subject.folder, "holds no picture of the recipe's classes", "see its classes"
        )
    recalls = list(_class_figures(outcomes))
    seen = [each.right / each.pictures for each in recalls if each.pictures]
    roc, precision_recall, auroc, average = _curves(outcomes)
    bins = tuple(_reliability(outcomes))
    return Evaluation(
        recipe=subject.recipe,
        version=subject.version,
        taught_digest=subject.taught_digest,
        folder=subject.folder,
        measured_at=subject.measured_at,
        scores=subject.scores,
        pictures=len(outcomes),
        accept_below=subject.accept_below,
        reject_from=subject.reject_from,
        balanced_accuracy=float(np.mean(seen)),
        escapes=escapes(outcomes, subject.accept_below),
        overkill=overkill(outcomes, subject.reject_from),
        review=_review(outcomes, subject),
        classes=tuple(recalls),
        confusion=_confusion(outcomes),
        auroc=auroc,
        average_precision=average,
        roc=roc,
        precision_recall=precision_recall,
        reliability=bins,
        calibration_error=sum(b.pictures * abs(b.accuracy - b.confidence) for b in bins) / len(outcomes),
        slices=tuple(_slices(outcomes, subject)),
        worst=tuple(_worst(outcomes, subject)),
    )


def escapes(outcomes: Outcomes, accept_below: float) -> Rate:
    """Bad parts of which some picture would be accepted."""
    _, bad = outcomes.parts()
    return Rate.of(int((bad < accept_below).sum()), len(bad))


def overkill(outcomes: Outcomes, reject_from: float) -> Rate:
    """Good parts of which some picture would be rejected."""
    good, _ = outcomes.parts()
    return Rate.of(int((good >= reject_from).sum()), len(good))


def _review(outcomes: Outcomes, subject: Subject) -> Rate:
    scores = np.concatenate(outcomes.parts())
    waiting = (scores >= subject.accept_below) & (scores < subject.reject_from)
    return Rate.of(int(waiting.sum()), len(scores))


def _class_figures(outcomes: Outcomes) -> Iterator[ClassFigures]:
    truths = Counter(each.truth for each in outcomes.items)
    named = Counter(outcomes.named)
    right = Counter(
        each.truth for each, name in zip(outcomes.items, outcomes.named, strict=True) if each.truth == name
    )
    for label in outcomes.classes:
        low, high = wilson(right[label], truths[label])
        yield ClassFigures(
            label=label,
            acceptable=label in outcomes.acceptable,
            pictures=truths[label],
            named=named[label],
            right=right[label],
            precision=right[label] / named[label] if named[label] else None,
            recall=right[label] / truths[label] if truths[label] else None,
            recall_low=low,
            recall_high=high,
        )


def _confusion(outcomes: Outcomes) -> dict[str, dict[str, int]]:
    counted = Counter(zip((each.truth for each in outcomes.items), outcomes.named, strict=True))
    return {truth: {named: counted[truth, named] for named in outcomes.classes} for truth in outcomes.classes}


def _curves(
    outcomes: Outcomes,
) -> tuple[tuple[Point, ...], tuple[Point, ...], float | None, float | None]:
    bad, scores = outcomes.is_bad, outcomes.defect
    if bad.all() or not bad.any():
        return (), (), None, None
    false_alarms, caught, _ = roc_curve(bad, scores)
    precision, recall, _ = precision_recall_curve(bad, scores)
    return (
        _points(false_alarms, caught),
        _points(recall, precision),
        float(roc_auc_score(bad, scores)),
        float(average_precision_score(bad, scores)),
    )


def _points(across: Floats, up: Floats) -> tuple[Point, ...]:
    """At most CURVE_POINTS of a curve, its ends among them."""
    chosen = np.unique(np.linspace(0, len(across) - 1, CURVE_POINTS).astype(int))
    return tuple(Point(x=float(across[index]), y=float(up[index])) for index in chosen)


def _reliability(outcomes: Outcomes) -> Iterator[ReliabilityBin]:
    sure = np.array([max(each.probabilities.values()) for each in outcomes.items])
    right = np.array([each.truth == name for each, name in zip(outcomes.items, outcomes.named, strict=True)])
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    for index in np.unique(bins):
        inside: NDArray[np.bool_] = bins == index
        yield ReliabilityBin(
            low=index / BINS,
            high=(index + 1) / BINS,
            pictures=int(inside.sum()),
            confidence=float(sure[inside].mean()),
            accuracy=float(right[inside].mean()),
        )


def _slices(outcomes: Outcomes, subject: Subject) -> Iterator[Slice]:
    for by, values in (
        ("camera", [each.camera for each in outcomes.items]),
        ("lot", [each.lot for each in outcomes.items]),
        ("brightness", _thirds([each.brightness for each in outcomes.items])),
    ):
        members: dict[str, list[int]] = defaultdict(list)
        for index, value in enumerate(values):
            if value is not None:
                members[value].append(index)
        for value in sorted(members) if len(members) > 1 else ():
            if len(members[value]) >= SMALLEST_SLICE:
                yield _slice(outcomes.where(members[value]), by, value, subject)


def _slice(outcomes: Outcomes, by: str, value: str, subject: Subject) -> Slice:
    right = sum(each.truth == name for each, name in zip(outcomes.items, outcomes.named, strict=True))
    return Slice(
        by=by,
        value=value,
        pictures=len(outcomes),
        escapes=escapes(outcomes, subject.accept_below),
        overkill=overkill(outcomes, subject.reject_from),
        right=Rate.of(right, len(outcomes)),
    )


def _thirds(brightness: Sequence[float | None]) -> list[str | None]:
    known = np.array([value for value in brightness if value is not None])
    if len(known) < 3 * SMALLEST_SLICE:
        return [None] * len(brightness)
    limits = np.quantile(known, (1 / 3, 2 / 3))
    return [None if value is None else BRIGHTNESS[int((value > limits).sum())] for value in brightness]


def _worst(outcomes: Outcomes, subject: Subject) -> Iterator[Mistake]:
    """Escapes and overkills first by how far beyond the middle they lie, then other wrong names."""
    ranked = []
    for item, name, score, bad in zip(
        outcomes.items, outcomes.named, outcomes.defect, outcomes.is_bad, strict=True
    ):
        if bad and score < subject.accept_below:
            ranked.append((0, float(score), "escape", item, name))
        elif not bad and score >= subject.reject_from:
            ranked.append((1, -float(score), "overkill", item, name))
        elif name != item.truth:
            ranked.append((2, -item.probabilities[name], "confusion", item, name))
    for _, _, kind, item, name in sorted(ranked, key=lambda each: each[:2])[:WORST]:
        yield Mistake(
            file=str(item.path).encode("utf-8", "replace").decode(),
            truth=item.truth,
            named=name,
            defect_probability=sum(
                p for label, p in item.probabilities.items() if label not in outcomes.acceptable
            ),
            kind=kind,
        )
