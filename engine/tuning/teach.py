"""Teach a part: from labelled pictures to all that judges the next one, chosen by held-out pictures."""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.tuning.bank import NOBODY, Bank, BankBuilder, with_scales
from engine.tuning.eye import Eye, Sight, open_eye
from engine.tuning.fitting import conclude
from engine.tuning.lesson import Lesson, Seen, TeachOptions, in_pairs, prepared
from engine.tuning.looking import Instruments
from engine.tuning.pair import pair_scale
from engine.tuning.part import TaughtPart
from engine.tuning.pictures import (
    ORIENTATIONS,
    LabelledPicture,
    Pixels,
    checked,
    tile_views,
    whole_view,
)

BANKED = 100
"""Good pictures in a bank at the most."""
SCALED_ON = 60
"""Good pictures on which a scale is set at the most."""
TILES_KEPT = 240
"""Tiles of good pictures in the bank of tiles, about."""
AUGMENTED_ROWS = 1_600
"""Rows of features that a probe is fitted to when pictures are turned and mirrored."""
BANK_HOTTEST, TILE_HOTTEST = 0.03, 0.002
"""Share of places whose mean is the score: 3 % of a whole picture, five places of a tile."""
SECONDS_A_LOOK = 0.07
"""What one look is taken to cost on one core, so that what is tried depends on the options and no clock."""

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done and what is being done."""


def teach(
    pictures: Sequence[LabelledPicture],
    options: TeachOptions | None = None,
    progress: Progress | None = None,
    eye: Eye | None = None,
) -> TaughtPart:
    """Teach a part from its pictures; the same pictures, options and machine give the same bits.

    `eye` is the one to look with, where it is not to be the process's own. Raises TeachingInvalid where there
    are too few good pictures, or where some pictures have a golden one beside them and others have none.
    """
    started = time.monotonic()
    options = options or TeachOptions()
    tell = progress or (lambda _share, _what: None)
    lesson = prepared(pictures, options, eye or open_eye(options.eye))
    instruments = _learn_banks(lesson, lambda share: tell(0.4 * share, "looking at good pictures"))
    if in_pairs(pictures):
        instruments = _learn_pairs(lesson, instruments)
    seen = []
    for index in range(len(pictures)):
        seen.append(_look_again(lesson, instruments, index))
        tell(0.4 + 0.45 * (index + 1) / len(pictures), "looking at every picture")
    tell(0.85, "fitting")
    part = conclude(lesson, instruments, seen, started)
    tell(1.0, "taught")
    return part


def _learn_banks(lesson: Lesson, tell: Callable[[float], None]) -> Instruments:
    """The banks of whole pictures and, where pictures are large, of tiles."""
    options, eye = lesson.options, lesson.eye
    order = _chosen_goods(lesson, BANKED)
    whole: list[tuple[Sight, int]] = []
    tiled: list[tuple[Sight, int]] = []
    for done, index in enumerate(order):
        rgb = checked(lesson.pictures[index].pixels())
        owner = int(lesson.owners[index])
        whole.append((eye.see(whole_view(rgb, options.regions)), owner))
        if len(tiled) < TILES_KEPT:
            tiled += [(eye.see(view), owner) for view in tile_views(rgb, options.regions)]
        tell((done + 1) / len(order))
    bank = _banked(whole, BANK_HOTTEST, options.seed)
    tiles = _banked(tiled, TILE_HOTTEST, options.seed) if tiled else None
    return Instruments(eye, options.regions, bank, tiles)


def _chosen_goods(lesson: Lesson, most: int) -> NDArray[np.int64]:
    return np.random.default_rng(lesson.options.seed).permutation(lesson.goods)[:most]


def _learn_pairs(lesson: Lesson, instruments: Instruments) -> Instruments:
    """The same instruments with the scale on which good pairs differ."""
    goods = []
    for index in _chosen_goods(lesson, SCALED_ON):
        rgb, golden = _pixels(lesson.pictures[index])
        view = whole_view(rgb, lesson.options.regions)
        goods.append(instruments.difference(view, lesson.eye.see(view), rgb, golden))
    return instruments.with_pair(pair_scale(goods))


def _pixels(picture: LabelledPicture) -> tuple[Pixels, Pixels | None]:
    golden = None if picture.golden is None else checked(picture.golden())
    return checked(picture.pixels()), golden


def _banked(sights: Sequence[tuple[Sight, int]], hottest: float, seed: int) -> Bank:
    builder = BankBuilder(len(sights), seed)
    for sight, owner in sights:
        builder.add(sight, owner)
    return with_scales(builder.levels(), sights[:SCALED_ON], hottest)


def _look_again(lesson: Lesson, instruments: Instruments, index: int) -> Seen:
    rgb, golden = _pixels(lesson.pictures[index])
    owner = int(lesson.owners[index]) if lesson.labels[index] == 0 else NOBODY
    evidence = instruments.look(rgb, golden, owner)
    lesson.gate.add(rgb, lesson.options.regions.mask(*rgb.shape[:2]))
    return Seen(evidence, [instruments.turned_features(rgb, golden, each) for each in _orientations(lesson)])


def _orientations(lesson: Lesson) -> range:
    """Orientations beside the first in which pictures are seen for training, as many as the time allows."""
    if not lesson.options.orientations or len(lesson.classes) == 1:
        return range(0)
    rows = min(AUGMENTED_ROWS, int(lesson.options.seconds / SECONDS_A_LOOK))
    return range(1, max(1, min(ORIENTATIONS, rows // len(lesson.pictures))))
