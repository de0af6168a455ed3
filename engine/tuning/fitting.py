"""Fitting: from what was seen on every picture to the part, each choice by held-out pictures."""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.tuning.curve import Advice, CurvePoint, advise, balanced_accuracy, learning_curve
from engine.tuning.fusion import FittedFusion, Fusion, centred, fit_fusion, summarised
from engine.tuning.lesson import Lesson, Seen
from engine.tuning.looking import Instruments, nearest_known
from engine.tuning.part import (
    ANOMALY,
    PROBE,
    WORDS,
    HeldOut,
    Provenance,
    TaughtPart,
    anomaly_of,
    good_only,
    scores_of,
    word_row,
)
from engine.tuning.probe import FittedProbe, Floats, fit_probe

KNOWN_KEPT = 400


def conclude(lesson: Lesson, instruments: Instruments, seen: Sequence[Seen], started: float) -> TaughtPart:
    """Fit what judges to what was seen on every picture."""
    evidence = [each.evidence for each in seen]
    anomalies = np.array([anomaly_of(each) for each in evidence])
    limit = float(anomalies[lesson.goods].max())
    known = np.stack([each.embedding for each in evidence]).astype(np.float32)
    gate = lesson.gate.gate(_distances_to_others(known))
    probe, said = _opinions(lesson, seen)
    choice = None if probe is None else fit_fusion(said, lesson.labels, len(lesson.classes), lesson.folds)
    wordless = _wordless(lesson, said) if WORDS in said else None
    singles = {} if choice is None else _singles(lesson, said)
    held_out = _held_out(lesson, choice, singles, anomalies, limit)
    curve, advice = ((), ()) if choice is None else _curve(lesson, seen, choice)
    return TaughtPart(
        classes=lesson.classes if probe is not None else (lesson.options.good, ANOMALY),
        good=lesson.options.good,
        regions=lesson.options.regions,
        bank=instruments.bank,
        tiles=instruments.tiles,
        pair=instruments.pair,
        probe=None if probe is None else probe.probe,
        fusion=None if choice is None else choice.fusion,
        wordless=wordless,
        alone={name: each.fusion for name, each in singles.items()},
        known=known[np.random.default_rng(lesson.options.seed).permutation(len(known))[:KNOWN_KEPT]],
        gate=gate,
        limit=limit,
        held_out=held_out,
        curve=curve,
        advice=advice,
        provenance=_provenance(lesson, probe, choice, started),
    )


def _opinions(lesson: Lesson, seen: Sequence[Seen]) -> tuple[FittedProbe | None, dict[str, Floats]]:
    """The probe, if there is more than one class, and what each opinion says of every picture held out."""
    scores = [scores_of(each.evidence) for each in seen]
    said = {name: summarised(np.stack([each[name] for each in scores])) for name in scores[0]}
    if len(lesson.classes) == 1:
        return None, said
    probe = _fit_best_probe(lesson, seen)
    said[PROBE] = centred(probe.held_out)
    words = [picture.words for picture in lesson.pictures if picture.words is not None]
    if len(words) == len(seen):
        said[WORDS] = centred(np.stack([word_row(each, lesson.classes) for each in words]))
    return probe, said


def _fit_best_probe(lesson: Lesson, seen: Sequence[Seen]) -> FittedProbe:
    """Of means, or spreads too; of pictures as they come, or turned too: the least held-out loss."""
    upright = np.stack([each.evidence.features for each in seen])[:, None]
    sets = [upright]
    if seen[0].turned:
        sets.append(np.concatenate([upright, np.stack([np.stack(each.turned) for each in seen])], axis=1))
    width = upright.shape[2]
    means = width - sum(lesson.eye.tap_channels[:-1])
    shown = means - sum(lesson.eye.tap_channels)
    tried = [
        fit_probe(features[:, :, :first], lesson.labels, len(lesson.classes), lesson.folds)
        for features in sets
        for first in (shown, means, width)
        if first > 0
    ]
    return min(tried, key=lambda each: each.loss)


def _wordless(lesson: Lesson, said: dict[str, Floats]) -> Fusion:
    others = {name: numbers for name, numbers in said.items() if name != WORDS}
    return fit_fusion(others, lesson.labels, len(lesson.classes), lesson.folds).fusion


def _singles(lesson: Lesson, said: dict[str, Floats]) -> dict[str, FittedFusion]:
    return {
        name: fit_fusion({name: numbers}, lesson.labels, len(lesson.classes), lesson.folds)
        for name, numbers in said.items()
    }


def _held_out(
    lesson: Lesson,
    choice: FittedFusion | None,
    singles: dict[str, FittedFusion],
    anomalies: Floats,
    limit: float,
) -> tuple[HeldOut, ...]:
    classes = lesson.classes if choice is not None else (lesson.options.good, ANOMALY)
    rows = (
        np.exp(choice.held_out)
        if choice is not None
        else np.stack([good_only(each, limit) for each in anomalies])
    )
    goods = np.stack([np.exp(each.held_out[:, 0]) for each in singles.values()]) if singles else rows[:, :1].T
    differences = goods.max(0) - goods.min(0)
    return tuple(
        HeldOut(
            picture.label, dict(zip(classes, row.tolist(), strict=True)), float(anomaly), float(difference)
        )
        for picture, row, anomaly, difference in zip(
            lesson.pictures, rows, anomalies, differences, strict=True
        )
    )


def _curve(
    lesson: Lesson, seen: Sequence[Seen], choice: FittedFusion
) -> tuple[tuple[CurvePoint, ...], tuple[Advice, ...]]:
    """The probe's curve, ended by what the fusion reached with all pictures, and the advice from it."""
    said = choice.held_out.argmax(1)
    count = len(lesson.classes)
    full = CurvePoint(len(lesson.labels) / count, balanced_accuracy(said, lesson.labels))
    features = np.stack([each.evidence.features for each in seen])
    seed = lesson.options.seed
    curve = learning_curve(features, lesson.labels, count, lesson.folds, full, seed)
    return curve, advise(curve, said, lesson.labels, lesson.classes)


def _distances_to_others(known: NDArray[np.float32]) -> Floats:
    distances = np.stack([nearest_known(each.astype(np.float64), known) for each in known])
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(1))


def _provenance(
    lesson: Lesson, probe: FittedProbe | None, choice: FittedFusion | None, started: float
) -> Provenance:
    eye = lesson.eye
    chosen, losses = {}, {}
    if probe is not None and choice is not None:
        chosen = {"strength": f"{probe.strength:g}", "opinions": " + ".join(choice.fusion.uses)}
        losses = {" + ".join(uses): loss for uses, loss in choice.losses.items()}
    counts = Counter(picture.label for picture in lesson.pictures)
    return Provenance(
        eye.name, eye.digest, dict(counts), lesson.options.seed, time.monotonic() - started, chosen, losses
    )
