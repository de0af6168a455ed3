"""Looking: what the eye, the banks and the golden pair measure on one picture."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import ImageInvalid
from engine.tuning.bank import NOBODY, Bank
from engine.tuning.eye import Eye, Sight
from engine.tuning.pair import Difference, PairScale, compare, registered
from engine.tuning.pictures import Box, Pixels, Regions, View, tile_views, view_of, whole_view
from engine.tuning.probe import Floats

MAP_SIDE = 96
"""Places along the longer side of an anomaly map, more for a picture that is looked at in tiles."""
MAP_STRIDE = 16
"""Pixels of a large picture under one place of its map."""
MARKED = 0.5
"""Oddness from which a place belongs to the hottest region: that of the oddest thousandth of good places."""


@dataclass(frozen=True)
class Evidence:
    """Everything measured on one picture.

    `features` are what the probe reads: of the golden pair's hottest places if there is one, then means, then
    spreads. `bank`, `tiles` and `pair` are scores in spreads above good parts.
    """

    features: Floats
    embedding: Floats
    bank: Floats
    tiles: Floats | None
    pair: Floats | None
    map: NDArray[np.float32]


@dataclass(frozen=True)
class Instruments:
    """What a picture is measured with."""

    eye: Eye
    regions: Regions
    bank: Bank
    tiles: Bank | None = None
    pair: PairScale | None = None

    def look(self, rgb: Pixels, golden: Pixels | None = None, left_out: int = NOBODY) -> Evidence:
        """Measure one picture; the bank's places of one owner are left out where the picture is its own."""
        view = whole_view(rgb, self.regions)
        sight = self.eye.see(view)
        scores, odd = self.bank.look(sight, left_out)
        canvas = Canvas(rgb.shape[0], rgb.shape[1])
        canvas.add(odd, view)
        tile_scores = self._look_at_tiles(rgb, canvas, left_out)
        features, pair_scores = sight.pooled().double().numpy(), None
        if self.pair is not None:
            difference = self.difference(view, sight, rgb, golden)
            features = np.concatenate([difference.shown, features])
            pair_scores = self.pair.scores(difference)
            canvas = Canvas(rgb.shape[0], rgb.shape[1])
            canvas.add(self.pair.map(difference), view)
        return Evidence(
            features,
            embedding(sight),
            scores,
            tile_scores,
            pair_scores,
            canvas.values,
        )

    def difference(self, view: View, sight: Sight, rgb: Pixels, golden: Pixels | None) -> Difference:
        """Compare a view with the golden picture, registered; raises ImageInvalid where there is none."""
        golden_view = self.golden_view(rgb, golden)
        return compare(view, sight, golden_view, self.eye.see(golden_view), self.bank)

    def golden_view(self, rgb: Pixels, golden: Pixels | None) -> View:
        """The golden picture, registered, as the eye sees it; places it does not cover do not count."""
        if golden is None:
            raise ImageInvalid(
                "there is no golden picture beside the picture",
                hint="this part was taught in pairs: give both",
            )
        moved, covered = registered(rgb, golden)
        height, width = rgb.shape[:2]
        return view_of(moved, self.regions.mask(height, width) & covered, (0, 0, width, height))

    def turned_features(self, rgb: Pixels, golden: Pixels | None, orientation: int) -> Floats:
        """What the probe reads of the picture turned or mirrored."""
        view = whole_view(rgb, self.regions).turned(orientation)
        if self.pair is None:
            return np.asarray(self.eye.pooled(view).double().numpy())
        sight = self.eye.see(view)
        features = sight.pooled().double().numpy()
        golden_view = self.golden_view(rgb, golden).turned(orientation)
        difference = compare(view, sight, golden_view, self.eye.see(golden_view), self.bank)
        return np.concatenate([difference.shown, features])

    def with_pair(self, pair: PairScale) -> "Instruments":
        """The same with a scale for golden pairs."""
        return replace(self, pair=pair)

    def _look_at_tiles(self, rgb: Pixels, canvas: "Canvas", left_out: int) -> Floats | None:
        if self.tiles is None:
            return None
        found = []
        for view in tile_views(rgb, self.regions):
            scores, odd = self.tiles.look(self.eye.see(view), left_out)
            canvas.add(odd, view)
            found.append(scores)
        return np.asarray(np.max(found, 0)) if found else np.zeros(len(self.tiles.levels))


class Canvas:
    """The anomaly map of a whole picture, onto which the maps of its views are laid; the hotter one stays."""

    def __init__(self, height: int, width: int) -> None:
        longer = max(height, width)
        self._scale = max(MAP_SIDE, longer // MAP_STRIDE) / longer
        size = (max(1, round(height * self._scale)), max(1, round(width * self._scale)))
        self.values: NDArray[np.float32] = np.zeros(size, np.float32)

    def add(self, odd: Tensor, view: View) -> None:
        """Lay the map [h, w] of a view over its place."""
        x, y, width, height = (round(length * self._scale) for length in view.box)
        height, width = (
            min(max(1, height), self.values.shape[0] - y),
            min(max(1, width), self.values.shape[1] - x),
        )
        resized = cv2.resize(odd.numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        place = self.values[y : y + height, x : x + width]
        np.maximum(place, resized.reshape(place.shape), out=place)


def embedding(sight: Sight) -> Floats:
    """The mean of the head over the whole picture, of unit length: what kind of thing it shows [1280]."""
    mean = sight.maps[-1].flatten(1).mean(1).double()
    return np.asarray((mean / mean.norm().clamp_min(1e-9)).numpy())


def nearest_known(wanted: Floats, known: NDArray[np.float32]) -> Floats:
    """Distance (1 - cosine) of an embedding to each known one [N]."""
    return np.asarray(1.0 - known.astype(np.float64) @ wanted)


def hottest_box(odd: NDArray[np.float32], height: int, width: int) -> Box | None:
    """The rectangle in pixels around the region of the hottest place; None where none is odd."""
    if float(odd.max(initial=0.0)) < MARKED:
        return None
    peak = np.unravel_index(int(odd.argmax()), odd.shape)
    level = max(MARKED, 0.6 * float(odd[peak]))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((odd >= level).astype(np.uint8))
    x, y, across, down = (int(number) for number in stats[labels[peak]][:4])
    scale_x, scale_y = width / odd.shape[1], height / odd.shape[0]
    left, top = int(x * scale_x), int(y * scale_y)
    right, bottom = round((x + across) * scale_x), round((y + down) * scale_y)
    return left, top, max(1, right - left), max(1, bottom - top)
