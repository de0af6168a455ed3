"""Finds copies of a picture, exact or nearly so, turned or mirrored: a test must not see what was taught.

Candidates come from a perceptual hash (signs of the lowest frequencies of a cosine transform, as in pHash),
and are confirmed by the correlation of the thumbnails, which parts that merely look alike do not reach.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOW = 8
"""Frequencies a side that make the hash: 64 signs."""

NEAR_BITS = 6
"""Signs that may differ. On mcbt, whose 70 test pictures are copies of training ones, at most 2 do."""

SAME = 0.995
"""Correlation from which on two thumbnails show the same picture. Different pictures of one part reach
0.98 on cookies and aliens; copies that were stored again stay above 0.999."""

FLAT = 1.0
"""Standard deviation of grey below which a thumbnail shows nothing to compare."""

BLOCK = 1024
"""Thumbnails hashed at a time; bounds the memory."""

Thumbnails = NDArray[np.uint8]
"""[N, side, side]."""


def exact_copies(digests: Sequence[bytes]) -> list[list[int]]:
    """The indices of files that are the same byte for byte, each set of two or more in order."""
    found = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            found[digest].append(index)
    return [same for same in found.values() if len(same) > 1]


def near_copies(thumbnails: Thumbnails) -> list[list[int]]:
    """The indices of pictures that show the same as the first of their set, in any of eight orientations.

    Every picture is compared with every other: 50,000 take under a minute and a few megabytes beside them.
    """
    blocks = [thumbnails[start : start + BLOCK] for start in range(0, len(thumbnails), BLOCK)]
    if not blocks:
        return []
    views = np.concatenate([_view_hashes(block) for block in blocks], axis=1)
    free = np.concatenate([block.std(axis=(1, 2)) >= FLAT for block in blocks])
    found = []
    for first in range(len(thumbnails)):
        if not free[first]:
            continue
        distances = np.bitwise_count(views[:, first + 1 :] ^ views[0, first]).min(axis=0)
        near = first + 1 + np.flatnonzero(distances <= NEAR_BITS)
        near = near[free[near]]
        if len(near) and len(near := near[_likeness(thumbnails[first], thumbnails[near]) >= SAME]):
            free[near] = False
            found.append([first, *(int(index) for index in near)])
    return found


def perceptual_hashes(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """A 64-bit hash a picture [N]: which of its low frequencies lie above their median."""
    basis = _cosines(thumbnails.shape[1])
    low = basis @ thumbnails.astype(np.float32) @ basis.T
    low = low.reshape(len(thumbnails), -1)
    low[:, 0] = 0.0
    signs = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(signs, axis=1).view(np.uint64).ravel()


def _view_hashes(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """The hashes [8, N] of the eight orientations."""
    return np.stack([perceptual_hashes(view) for view in _orientations(thumbnails)])


def _cosines(side: int) -> NDArray[np.float32]:
    """The first rows of the orthogonal cosine transform (DCT-II)."""
    angles = np.pi * (np.arange(side) + 0.5) * np.arange(LOW)[:, None] / side
    return np.asarray(np.cos(angles), np.float32)


def _orientations(thumbnails: Thumbnails) -> list[Thumbnails]:
    turned = [np.rot90(thumbnails, quarter, axes=(1, 2)) for quarter in range(4)]
    return [view for each in turned for view in (each, each[:, :, ::-1])]


def _likeness(one: NDArray[np.uint8], others: Thumbnails) -> NDArray[np.float32]:
    """The highest correlation of a thumbnail with each of the others, over the eight orientations."""
    theirs = _unit(others)
    ours = np.concatenate([_unit(view) for view in _orientations(one[None])])
    return np.asarray((theirs @ ours.T).max(axis=1))


def _unit(thumbnails: Thumbnails) -> NDArray[np.float32]:
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6))
