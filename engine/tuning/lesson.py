"""A lesson: the pictures a part is taught with, their classes and folds, and the options."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import TeachingInvalid
from engine.tuning.eye import DEFAULT_EYE, Eye
from engine.tuning.folds import make_folds
from engine.tuning.gate import GateBuilder
from engine.tuning.looking import Evidence
from engine.tuning.pictures import LabelledPicture, Regions
from engine.tuning.probe import Floats

LEAST_GOOD = 4


@dataclass(frozen=True)
class TeachOptions:
    """How a part is taught; `seconds` is what looking at turned pictures may take on one core."""

    good: str = "good"
    seconds: float = 600.0
    seed: int = 0
    regions: Regions = field(default_factory=Regions)
    eye: str = DEFAULT_EYE
    orientations: bool = True
    """Whether turned and mirrored pictures may be tried for training; held-out pictures decide."""


@dataclass(frozen=True)
class Lesson:
    """The pictures with what every step needs to know of them; `owners` numbers their groups."""

    pictures: Sequence[LabelledPicture]
    options: TeachOptions
    eye: Eye
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    folds: list[NDArray[np.int64]]
    owners: NDArray[np.int64]
    goods: NDArray[np.int64]
    gate: GateBuilder


@dataclass(frozen=True)
class Seen:
    """One picture's evidence, held out where it is good, and its features in other orientations."""

    evidence: Evidence
    turned: list[Floats]


def in_pairs(pictures: Sequence[LabelledPicture]) -> bool:
    """Whether a golden picture is beside every picture; raises TeachingInvalid where it is beside some."""
    paired = sum(picture.golden is not None for picture in pictures)
    if paired not in {0, len(pictures)}:
        raise TeachingInvalid(
            f"{paired} of {len(pictures)} pictures have a golden picture beside them",
            hint="give every picture one, or none",
        )
    return paired > 0


def prepared(pictures: Sequence[LabelledPicture], options: TeachOptions, eye: Eye) -> Lesson:
    """The lesson of these pictures; raises TeachingInvalid where good ones are too few."""
    counts = Counter(picture.label for picture in pictures)
    if counts[options.good] < LEAST_GOOD:
        raise TeachingInvalid(
            f"there are {counts[options.good]} pictures labelled {options.good!r}",
            hint=f"at least {LEAST_GOOD} pictures of good parts are needed; classes found: {dict(counts)}",
        )
    classes = (options.good, *sorted(set(counts) - {options.good}))
    labels = np.array([classes.index(picture.label) for picture in pictures], np.int64)
    folds = make_folds([each.label for each in pictures], [each.group for each in pictures], options.seed)
    groups = [each.group or f"picture {index}" for index, each in enumerate(pictures)]
    owners = np.unique(groups, return_inverse=True)[1]
    return Lesson(
        pictures, options, eye, classes, labels, folds, owners, np.flatnonzero(labels == 0), GateBuilder()
    )
