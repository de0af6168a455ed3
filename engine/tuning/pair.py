"""The golden pair: what differs between a picture and a defect-free one of the same part, place by place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.tuning.bank import Bank, Floats, averaged, hottest_mean, robust_spread
from engine.tuning.eye import Sight
from engine.tuning.pictures import Pixels, View
from engine.tuning.shift import shift_between

TAPS = (0, 1)
"""Taps that are compared, strides 8 and 16; with the pixels they make three scores."""
HOTTEST = 0.03
REGISTERED_SIDE = 512
FARTHEST_SHIFT = 0.1
"""Largest shift that registration undoes, as a share of the side."""
TOLERATED_PIXELS = 2
ECC_STEPS = 20
ECC_GAIN = 1e-4


def registered(rgb: Pixels, golden: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """The golden picture moved and turned onto `rgb` [H, W, 3], and where it still covers it [H, W]."""
    height, width = rgb.shape[:2]
    if golden.shape != rgb.shape:
        golden = np.asarray(cv2.resize(golden, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    scale = min(1.0, REGISTERED_SIDE / max(height, width))
    motion = _motion(_small_grey(rgb, scale), _small_grey(golden, scale))
    if motion is None:
        return golden, np.ones((height, width), bool)
    motion[:, 2] /= scale
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(golden, motion, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones((height, width), np.uint8), motion, (width, height), flags=flags)
    return np.asarray(moved, np.uint8), covered.astype(bool)


def _small_grey(rgb: Pixels, scale: float) -> NDArray[np.float32]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = (max(16, round(grey.shape[1] * scale)), max(16, round(grey.shape[0] * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def _motion(picture: NDArray[np.float32], golden: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The affine map [2, 3] from the picture to the golden one, or None where none makes it better."""
    height, width = picture.shape
    across, down, _ = shift_between(picture, golden)
    still = np.eye(2, 3, dtype=np.float32)
    candidates = [still]
    if abs(across) <= FARTHEST_SHIFT * width and abs(down) <= FARTHEST_SHIFT * height:
        candidates.append(np.array([[1, 0, across], [0, 1, down]], np.float32))
    start = max(candidates, key=lambda motion: _likeness(picture, golden, motion))
    refined = _refined(picture, golden, start)
    best = max((start, refined), key=lambda motion: _likeness(picture, golden, motion))
    gained = _likeness(picture, golden, best) - _likeness(picture, golden, still)
    return best if gained > ECC_GAIN else None


def _refined(
    picture: NDArray[np.float32], golden: NDArray[np.float32], start: NDArray[np.float32]
) -> NDArray[np.float32]:
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, 1e-4)
    try:
        _, found = cv2.findTransformECC(picture, golden, start.copy(), cv2.MOTION_EUCLIDEAN, criteria)
    except cv2.error:  # it does not converge where there is nothing to hold on to
        return start
    return np.asarray(found, np.float32)


def _likeness(
    picture: NDArray[np.float32], golden: NDArray[np.float32], motion: NDArray[np.float32]
) -> float:
    height, width = picture.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(golden, motion, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    one, other = picture - picture.mean(), moved - moved.mean()
    return float((one * other).mean() / (one.std() * other.std() + 1e-6))


@dataclass(frozen=True)
class Difference:
    """Raw scores [taps + 1], distance maps [h, w] of each tap and the pixels, what hot places show."""

    scores: Floats
    maps: tuple[Tensor, ...]
    shown: Floats


def compare(view: View, sight: Sight, golden_view: View, golden_sight: Sight, bank: Bank) -> Difference:
    """Compare two views of the same size; features are standardised as the bank's are.

    `shown` is, for each tap, the features at the hottest places and their change from the golden ones, and
    how much brighter and darker the pixels are there: enough to tell a bridge from a gap.
    """
    scores, maps, shown = [], [], []
    for tap in TAPS:
        level = bank.levels[tap]
        ours, theirs = (
            (averaged(each.maps[tap]) - level.mean[:, None, None]) / level.spread[:, None, None]
            for each in (sight, golden_sight)
        )
        distances, change = _tolerant(ours, theirs)
        distances = distances * (sight.counts[tap] & golden_sight.counts[tap])
        weights = _hottest_weights(distances)
        shown += [(ours * weights).sum((1, 2)), (change * weights).sum((1, 2))]
        scores.append(hottest_mean(distances, HOTTEST))
        maps.append(distances)
    brighter, darker = _pixel_change(view, golden_view)
    pixel = F.adaptive_max_pool2d((brighter + darker)[None], maps[0].shape[-2:])[0]
    scores.append(hottest_mean(pixel, HOTTEST))
    extent = torch.stack([each.mean() for each in (brighter, darker)] + [brighter.max(), darker.max()])
    return Difference(np.array(scores), (*maps, pixel), torch.cat([*shown, extent * 10]).double().numpy())


def _tolerant(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [h, w] of each place to the likest golden one near it, and the change from it [C, h, w]."""
    _, height, width = ours.shape
    padded = F.pad(theirs[None], (1, 1, 1, 1), mode="replicate")[0]
    changes = torch.stack(
        [ours - padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    )
    squares = changes.square().mean(1)
    least = squares.argmin(0)
    change = changes.gather(0, least[None, None].expand(1, *ours.shape))[0]
    return squares.amin(0).sqrt(), change


def _hottest_weights(distances: Tensor) -> Tensor:
    """Weights [h, w] that sum to one, in proportion to how far a place is beyond all but the hottest."""
    count = max(1, round(distances.numel() * HOTTEST))
    level = distances.flatten().topk(count).values[-1]
    beyond = (distances - 0.9 * level).clamp_min(0)
    return beyond / beyond.sum().clamp_min(1e-6)


def _pixel_change(view: View, golden_view: View) -> tuple[Tensor, Tensor]:
    """How far each pixel is above and below every golden pixel within two [H, W], as shares of full range."""
    ours, theirs = (cv2.cvtColor(each.pixels, cv2.COLOR_RGB2GRAY) for each in (view, golden_view))
    window = np.ones((2 * TOLERATED_PIXELS + 1,) * 2, np.uint8)
    counts = view.counts & golden_view.counts
    above = cv2.subtract(ours, cv2.dilate(theirs, window)) * counts
    below = cv2.subtract(cv2.erode(theirs, window), ours) * counts
    return tuple(torch.from_numpy(each.astype(np.float32) / 255) for each in (above, below))  # type: ignore[return-value]


@dataclass(frozen=True)
class PairScale:
    """What good pairs themselves show: typical score and spread, and the same of single places [taps + 1]."""

    typical: Floats
    spread: Floats
    place_typical: Floats
    place_spread: Floats

    def scores(self, difference: Difference) -> Floats:
        """Spreads above the typical good pair [taps + 1]."""
        return np.asarray((difference.scores - self.typical) / self.spread)

    def map(self, difference: Difference) -> Tensor:
        """Oddness [h, w]: 0.5 where a place differs as much as the oddest thousandth of good pairs."""
        size = difference.maps[0].shape[-2:]
        odd = [
            F.interpolate(
                ((each - typical) / (2 * spread))[None, None].float(),
                size,
                mode="bilinear",
                align_corners=False,
            )[0, 0]
            for each, typical, spread in zip(
                difference.maps, self.place_typical, self.place_spread, strict=True
            )
        ]
        return torch.stack(odd).mean(0).clamp(0, 1)

    def arrays(self) -> dict[str, Floats]:
        """What `from_arrays` needs."""
        return {name: getattr(self, name) for name in ("typical", "spread", "place_typical", "place_spread")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats]) -> "PairScale":
        """The scale that `arrays` came from."""
        return cls(*(arrays[name] for name in ("typical", "spread", "place_typical", "place_spread")))


def pair_scale(goods: Sequence[Difference]) -> PairScale:
    """The scale of good pairs."""
    raw = np.array([each.scores for each in goods])
    middles = np.array([[float(tap.median()) for tap in each.maps] for each in goods])
    tops = np.array([[float(tap.flatten().quantile(0.999)) for tap in each.maps] for each in goods])
    typical, place_typical = np.median(raw, 0), np.median(middles, 0)
    return PairScale(
        typical,
        np.maximum(robust_spread(raw), 0.02 * typical + 1e-3),
        place_typical,
        np.maximum(np.median(tops, 0) - place_typical, 1e-2),
    )
