"""Teach a part: from labelled pictures to all that judges the next one, chosen by held-out pictures."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import TeachingInvalid
from engine.tuning.bank import NOBODY, Bank, BankBuilder, with_scales
from engine.tuning.eye import DEFAULT_EYE, ORIENTATIONS, Eye, Sight, open_eye
from engine.tuning.folds import make_folds
from engine.tuning.fusion import FittedFusion, centred, compressed, fit_fusion
from engine.tuning.gate import learn_gate
from engine.tuning.part import (
    ANOMALY,
    BANK,
    PROBE,
    TILES,
    WORDS,
    Evidence,
    HeldOut,
    Provenance,
    TaughtPart,
    good_only,
    look,
    nearest_known,
    word_row,
)
from engine.tuning.pictures import LabelledPicture, Regions, checked, tile_views, whole_view
from engine.tuning.probe import FittedProbe, Floats, fit_probe

BANKED = 100
"""Good pictures in a bank at the most."""
SCALED_ON = 60
"""Good pictures on which a bank's scales are set at the most."""
AUGMENTED_ROWS = 1_600
"""Rows of features that a probe is fitted to when pictures are turned and mirrored."""
BANK_HOTTEST, TILE_HOTTEST = 0.03, 0.002
"""Share of places whose mean is the score: 3 % of a whole picture, five places of a tile."""
LEAST_GOOD = 4
KNOWN_KEPT = 400

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done and what is being done."""


@dataclass(frozen=True)
class TeachOptions:
    """How a part is taught; `seconds` is what teaching may take, as far as a choice can still be left out."""

    good: str = "good"
    seconds: float = 600.0
    seed: int = 0
    regions: Regions = field(default_factory=Regions)
    eye: str = DEFAULT_EYE
    orientations: bool = True
    """Whether turned and mirrored pictures may be tried for training; held-out pictures decide."""


@dataclass(frozen=True)
class _Lesson:
    """The pictures with what every step needs to know of them."""

    pictures: Sequence[LabelledPicture]
    options: TeachOptions
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    folds: list[NDArray[np.int64]]
    fold_of: NDArray[np.int64]
    goods: NDArray[np.int64]


def teach(
    pictures: Sequence[LabelledPicture], options: TeachOptions | None = None, progress: Progress | None = None
) -> TaughtPart:
    """Teach a part from its pictures; the same pictures, options and machine give the same bits.

    Raises TeachingInvalid where there are too few good pictures or only one class that is not good.
    """
    started = time.monotonic()
    options = options or TeachOptions()
    tell = progress or (lambda _share, _what: None)
    lesson = _prepared(pictures, options)
    bank, tiles = _learn_banks(lesson, lambda share: tell(0.4 * share, "looking at good pictures"))
    seen = [_look_again(lesson, index, bank, tiles, tell) for index in range(len(pictures))]
    tell(0.85, "fitting")
    return _concluded(lesson, bank, tiles, seen, started, tell)


def _prepared(pictures: Sequence[LabelledPicture], options: TeachOptions) -> _Lesson:
    counts = Counter(picture.label for picture in pictures)
    if counts[options.good] < LEAST_GOOD:
        raise TeachingInvalid(
            f"there are {counts[options.good]} pictures labelled {options.good!r}",
            hint=f"at least {LEAST_GOOD} pictures of good parts are needed; classes found: {dict(counts)}",
        )
    classes = (options.good, *sorted(set(counts) - {options.good}))
    labels = np.array([classes.index(picture.label) for picture in pictures], np.int64)
    folds = make_folds([each.label for each in pictures], [each.group for each in pictures], options.seed)
    fold_of = np.zeros(len(pictures), np.int64)
    for number, fold in enumerate(folds):
        fold_of[fold] = number
    return _Lesson(pictures, options, classes, labels, folds, fold_of, np.flatnonzero(labels == 0))


def _learn_banks(lesson: _Lesson, tell: Callable[[float], None]) -> tuple[Bank, Bank | None]:
    """The banks of whole pictures and, where pictures are large, of tiles."""
    options = lesson.options
    eye = open_eye(options.eye)
    order = np.random.default_rng(options.seed).permutation(lesson.goods)[:BANKED]
    whole: list[tuple[Sight, int]] = []
    tiled: list[tuple[Sight, int]] = []
    for done, index in enumerate(order):
        rgb = checked(lesson.pictures[index].pixels())
        fold = int(lesson.fold_of[index])
        whole.append((eye.see(whole_view(rgb, options.regions)), fold))
        if len(tiled) < SCALED_ON * 4:
            tiled += [(eye.see(view), fold) for view in tile_views(rgb, options.regions)]
        tell((done + 1) / len(order))
    return (
        _banked(whole, BANK_HOTTEST, options.seed),
        _banked(tiled, TILE_HOTTEST, options.seed) if tiled else None,
    )


def _banked(sights: Sequence[tuple[Sight, int]], hottest: float, seed: int) -> Bank:
    builder = BankBuilder(len(sights), seed)
    for sight, fold in sights:
        builder.add(sight, fold)
    return with_scales(builder.levels(), sights[:SCALED_ON], hottest)


@dataclass(frozen=True)
class _Seen:
    """One picture's evidence, held out where it is good, and its features in other orientations."""

    evidence: Evidence
    turned: list[Floats]


def _look_again(lesson: _Lesson, index: int, bank: Bank, tiles: Bank | None, tell: Progress) -> _Seen:
    options = lesson.options
    rgb = checked(lesson.pictures[index].pixels())
    fold = int(lesson.fold_of[index]) if lesson.labels[index] == 0 else NOBODY
    evidence = look(rgb, options.regions, options.eye, bank, tiles, fold)
    view = whole_view(rgb, options.regions)
    eye: Eye = open_eye(options.eye)
    turned = [eye.see(view, each).pooled().double().numpy() for each in _orientations(lesson)]
    tell(0.4 + 0.45 * (index + 1) / len(lesson.pictures), "looking at every picture")
    return _Seen(evidence, turned)


def _orientations(lesson: _Lesson) -> range:
    """Orientations beside the first in which pictures are seen for training."""
    if not lesson.options.orientations or len(lesson.classes) == 1:
        return range(0)
    return range(1, max(1, min(ORIENTATIONS, AUGMENTED_ROWS // len(lesson.pictures))))


def _concluded(
    lesson: _Lesson, bank: Bank, tiles: Bank | None, seen: Sequence[_Seen], started: float, tell: Progress
) -> TaughtPart:
    evidence = [each.evidence for each in seen]
    anomalies = np.array([each.bank.mean() for each in evidence])
    limit = float(anomalies[lesson.goods].max())
    known = np.stack([each.embedding for each in evidence]).astype(np.float32)
    gate = learn_gate([each.measured for each in evidence], _distances_to_others(known))
    probe, said = _opinions(lesson, seen)
    choice = None if probe is None else fit_fusion(said, lesson.labels, len(lesson.classes), lesson.folds)
    singles = {} if choice is None else _singles(lesson, said)
    held_out = _held_out(lesson, choice, singles, anomalies, limit)
    tell(1.0, "taught")
    return TaughtPart(
        classes=lesson.classes if probe is not None else (lesson.options.good, ANOMALY),
        good=lesson.options.good,
        regions=lesson.options.regions,
        bank=bank,
        tiles=tiles,
        probe=None if probe is None else probe.probe,
        fusion=None if choice is None else choice.fusion,
        alone={name: each.fusion for name, each in singles.items()},
        known=known[np.random.default_rng(lesson.options.seed).permutation(len(known))[:KNOWN_KEPT]],
        gate=gate,
        limit=limit,
        held_out=held_out,
        provenance=_provenance(lesson, probe, choice, started),
    )


def _opinions(lesson: _Lesson, seen: Sequence[_Seen]) -> tuple[FittedProbe | None, dict[str, Floats]]:
    """The probe, if there is more than one class, and what each opinion says of every picture held out."""
    said: dict[str, Floats] = {BANK: compressed(np.stack([each.evidence.bank for each in seen]))}
    tiles = [each.evidence.tiles for each in seen if each.evidence.tiles is not None]
    if len(tiles) == len(seen):
        said[TILES] = compressed(np.stack(tiles))
    if len(lesson.classes) == 1:
        return None, said
    probe = _fit_best_probe(lesson, seen)
    said[PROBE] = centred(probe.held_out)
    words = [picture.words for picture in lesson.pictures if picture.words is not None]
    if len(words) == len(seen):
        said[WORDS] = centred(np.stack([word_row(each, lesson.classes) for each in words]))
    return probe, said


def _fit_best_probe(lesson: _Lesson, seen: Sequence[_Seen]) -> FittedProbe:
    """Of means, or spreads too; of pictures as they come, or turned too: the least held-out loss."""
    upright = np.stack([each.evidence.pooled for each in seen])[:, None]
    sets = [upright]
    if seen[0].turned:
        sets.append(np.concatenate([upright, np.stack([np.stack(each.turned) for each in seen])], axis=1))
    means = sum(open_eye(lesson.options.eye).tap_channels)
    tried = [
        fit_probe(features[:, :, :width], lesson.labels, len(lesson.classes), lesson.folds)
        for features in sets
        for width in (means, upright.shape[2])
    ]
    return min(tried, key=lambda each: each.loss)


def _singles(lesson: _Lesson, said: dict[str, Floats]) -> dict[str, FittedFusion]:
    return {
        name: fit_fusion({name: numbers}, lesson.labels, len(lesson.classes), lesson.folds)
        for name, numbers in said.items()
    }


def _held_out(
    lesson: _Lesson,
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


def _distances_to_others(known: NDArray[np.float32]) -> Floats:
    distances = np.stack([nearest_known(each.astype(np.float64), known) for each in known])
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(1))


def _provenance(
    lesson: _Lesson, probe: FittedProbe | None, choice: FittedFusion | None, started: float
) -> Provenance:
    eye = open_eye(lesson.options.eye)
    chosen, losses = {}, {}
    if probe is not None and choice is not None:
        chosen = {"strength": f"{probe.strength:g}", "opinions": " + ".join(choice.fusion.uses)}
        losses = {" + ".join(uses): loss for uses, loss in choice.losses.items()}
    counts = Counter(picture.label for picture in lesson.pictures)
    return Provenance(
        eye.name, eye.digest, dict(counts), lesson.options.seed, time.monotonic() - started, chosen, losses
    )
