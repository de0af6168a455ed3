"""The bank: how far each place of a picture is from anything seen on good parts.

After PatchCore (Roth et al., arXiv 2106.08265): locally averaged features of good parts, thinned to a core
set that covers them, and the distance of each place to its nearest neighbour. One bank for each tap of the
eye, because some defects are seen in fine structure and some in coarse, and each on the scale of what good
parts themselves show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.tuning.eye import Sight

Floats = NDArray[np.float64]
TAPS = (0, 1, 2)
NEIGHBOURHOOD = 3
"""Side of the square of places that are averaged."""
CORE = 4_096
"""Places of a core set; what a verdict costs does not grow with the good pictures beyond it."""
PROJECTED = 32
"""Dimensions in which the core set is drawn (Johnson and Lindenstrauss)."""
NOBODY = -1
"""Owner of no place of a bank."""


@dataclass(frozen=True)
class Level:
    """The bank of one tap: core [M, C] of standardised features and who each came from [M]."""

    mean: Tensor
    spread: Tensor
    core: Tensor
    owners: Tensor

    def distances(self, sight: Sight, tap: int, left_out: int = NOBODY) -> Tensor:
        """Distance of each place of a map to the nearest good place [h, w], those of one owner left out."""
        features = (averaged(sight.maps[tap]) - self.mean[:, None, None]) / self.spread[:, None, None]
        core = self.core if left_out == NOBODY else self.core[self.owners != left_out]
        return nearest(features.flatten(1).T, core).reshape(features.shape[1:])


@dataclass(frozen=True)
class Bank:
    """The banks of all taps; `typical` and `spread` [taps] are of the scores of held-out good pictures.

    `place_typical` and `place_spread` [taps] are the same of single places: median, and the way to the 99.9th
    percentile. `hottest` is the share of places whose mean distance is a picture's score.
    """

    levels: tuple[Level, ...]
    hottest: float
    typical: Floats
    spread: Floats
    place_typical: Floats
    place_spread: Floats

    def look(self, sight: Sight, left_out: int = NOBODY) -> tuple[Floats, Tensor]:
        """Score of each tap in spreads above the typical good part [taps], and the oddness map [h, w].

        In the map 0 is what good parts show and 1 as far again as their oddest thousandth of places.
        """
        raw, maps = [], []
        for index, (tap, level) in enumerate(zip(TAPS, self.levels, strict=True)):
            distances = level.distances(sight, tap, left_out)
            raw.append(hottest_mean(distances[sight.counts[tap]], self.hottest))
            excess = (distances - self.place_typical[index]) / (2 * self.place_spread[index])
            maps.append(excess.where(sight.counts[tap], torch.zeros(())))
        return (np.array(raw) - self.typical) / self.spread, _combined(maps)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What `from_arrays` needs."""
        found: dict[str, NDArray[np.generic]] = {
            "hottest": np.array([self.hottest]),
            "typical": self.typical,
            "spread": self.spread,
            "place_typical": self.place_typical,
            "place_spread": self.place_spread,
        }
        for index, level in enumerate(self.levels):
            for name in ("mean", "spread", "core", "owners"):
                found[f"level{index}.{name}"] = getattr(level, name).numpy()
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "Bank":
        """The bank that `arrays` came from."""
        levels = tuple(
            Level(
                *(
                    torch.from_numpy(arrays[f"level{index}.{name}"])
                    for name in ("mean", "spread", "core", "owners")
                )
            )
            for index in range(len(TAPS))
        )
        numbers = [
            np.asarray(arrays[name], np.float64)
            for name in ("typical", "spread", "place_typical", "place_spread")
        ]
        return cls(levels, float(arrays["hottest"][0]), *numbers)


class BankBuilder:
    """Gathers places of good pictures one picture at a time, an even share of the core set from each.

    Each picture is thinned by itself: a core set thinned over all of them would have holes where a picture
    that is left out had stood for the others, and held-out scores would be higher than those of new pictures.
    """

    def __init__(self, sights_expected: int, seed: int) -> None:
        self._share = max(1, CORE // max(1, sights_expected))
        self._generator = torch.Generator().manual_seed(seed)
        self._places: list[list[Tensor]] = [[] for _ in TAPS]
        self._owners: list[list[Tensor]] = [[] for _ in TAPS]

    def add(self, sight: Sight, owner: int) -> None:
        """Keep the places that cover those that count; `owner` is the picture's group."""
        for index, tap in enumerate(TAPS):
            places = averaged(sight.maps[tap])[:, sight.counts[tap]].T
            if len(places) == 0:
                continue
            spread = places.std(0, correction=0)
            chosen = _covering(places / _floored(spread), self._share, self._generator)
            self._places[index].append(places[chosen])
            self._owners[index].append(torch.full((len(chosen),), owner, dtype=torch.int32))

    def levels(self) -> tuple[Level, ...]:
        """The banks, one for each tap."""
        return tuple(
            _level(torch.cat(places), torch.cat(owners))
            for places, owners in zip(self._places, self._owners, strict=True)
        )


def with_scales(levels: tuple[Level, ...], goods: Sequence[tuple[Sight, int]], hottest: float) -> Bank:
    """The bank whose scales are those of good pictures, each judged without the places that are its own."""
    raw, middles, tops = [], [], []
    for sight, owner in goods:
        found = [
            level.distances(sight, tap, owner)[sight.counts[tap]]
            for tap, level in zip(TAPS, levels, strict=True)
        ]
        raw.append([hottest_mean(each, hottest) for each in found])
        middles.append([float(each.median()) for each in found])
        tops.append([float(each.quantile(0.999)) for each in found])
    typical, place_typical = np.median(raw, 0), np.median(middles, 0)
    return Bank(
        levels,
        hottest,
        typical,
        np.maximum(robust_spread(np.array(raw)), 0.02 * typical + 1e-6),
        place_typical,
        np.maximum(np.median(tops, 0) - place_typical, 1e-6),
    )


def robust_spread(values: Floats) -> Floats:
    """Mean of the standard deviation and the one that the median deviation suggests."""
    deviation = 1.4826 * np.median(np.abs(values - np.median(values, 0)), 0)
    return np.asarray((deviation + values.std(0)) / 2)


def averaged(features_CHW: Tensor) -> Tensor:
    """The mean over each place and its neighbours, fewer of them at the border."""
    margin = NEIGHBOURHOOD // 2
    return F.avg_pool2d(features_CHW[None], NEIGHBOURHOOD, 1, margin, count_include_pad=False)[0]


def nearest(points_PC: Tensor, core_MC: Tensor) -> Tensor:
    """Distance of each point to the nearest of the core [P], per square root of a channel."""
    if len(core_MC) == 0:
        return points_PC.square().mean(1).sqrt()
    squares = torch.addmm(core_MC.square().sum(1)[None], points_PC, core_MC.T, alpha=-2).amin(1)
    distances = (squares + points_PC.square().sum(1)).clamp_min(0)
    return (distances / points_PC.shape[1]).sqrt()


def hottest_mean(distances: Tensor, share: float) -> float:
    """The mean of the largest `share` of the values, of at least one."""
    if distances.numel() == 0:
        return 0.0
    return float(distances.flatten().topk(max(1, round(distances.numel() * share))).values.mean())


def _combined(maps: Sequence[Tensor]) -> Tensor:
    """The mean of the taps' maps at the finest resolution, held to 0..1."""
    size = maps[0].shape[-2:]
    fine = [
        F.interpolate(each[None, None], size, mode="bilinear", align_corners=False)[0, 0] for each in maps
    ]
    return torch.stack(fine).mean(0).clamp(0, 1)


def _level(places: Tensor, owners: Tensor) -> Level:
    mean, spread = places.mean(0), _floored(places.std(0, correction=0))
    return Level(mean, spread, ((places - mean) / spread).contiguous(), owners)


def _floored(spread: Tensor) -> Tensor:
    return spread.clamp_min(float(spread.max()) * 1e-3 + 1e-6)


def _covering(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Greedy k-center: each next point is the one farthest from those chosen so far."""
    if len(points) <= count:
        return torch.arange(len(points))
    projection = torch.randn(points.shape[1], PROJECTED, generator=generator) / PROJECTED**0.5
    low = points @ projection
    lengths = low.square().sum(1)
    newest = int(torch.randint(len(low), (1,), generator=generator))
    chosen, distances = [newest], torch.full((len(low),), torch.inf)
    for _ in range(count - 1):
        away = torch.addmv(lengths + lengths[newest], low, low[newest], alpha=-2)
        distances = torch.minimum(distances, away)
        newest = int(distances.argmax())
        chosen.append(newest)
    return torch.tensor(chosen)
