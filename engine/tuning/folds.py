"""Folds that keep what belongs together in one piece and every class in each, as far as that is possible."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_FOLDS = 5


def make_folds(labels: Sequence[str], groups: Sequence[str | None], seed: int) -> list[NDArray[np.int64]]:
    """Positions of the pictures in each fold; no group is in two.

    As many folds as the smallest class has groups, two at least and five at most. Groups are dealt out
    largest first, each to the fold that holds fewest pictures of its classes.
    """
    members = _members(groups)
    of_class: dict[str, int] = {}
    for positions in members:
        for label in {labels[position] for position in positions}:
            of_class[label] = of_class.get(label, 0) + 1
    count = min(MOST_FOLDS, max(2, min(of_class.values(), default=2)), max(1, len(members)))
    order = np.random.default_rng(seed).permutation(len(members))
    dealt = sorted((members[index] for index in order), key=len, reverse=True)
    folds: list[list[int]] = [[] for _ in range(count)]
    held = [dict.fromkeys(of_class, 0) for _ in range(count)]
    for positions in dealt:
        mine = [labels[position] for position in positions]
        fold = min(
            range(count), key=lambda index: (sum(held[index][label] for label in mine), len(folds[index]))
        )
        folds[fold] += positions
        for label in mine:
            held[fold][label] += 1
    return [np.array(sorted(fold), np.int64) for fold in folds if fold]


def _members(groups: Sequence[str | None]) -> list[list[int]]:
    named: dict[str, list[int]] = {}
    alone: list[list[int]] = []
    for position, group in enumerate(groups):
        if group is None:
            alone.append([position])
        else:
            named.setdefault(group, []).append(position)
    return alone + list(named.values())
