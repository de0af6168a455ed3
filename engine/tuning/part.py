"""A taught part: everything that was learned from a plant's pictures, and what it says of the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import TeachingInvalid
from engine.tuning.bank import Bank
from engine.tuning.eye import Sight, open_eye
from engine.tuning.fusion import Fusion, centred, compressed
from engine.tuning.gate import Gate, measures
from engine.tuning.pictures import Box, Pixels, Regions, View, checked, tile_views, whole_view
from engine.tuning.probe import Floats, Probe, log_softmax

ANOMALY = "anomaly"
"""The second class of a part that was taught with good pictures only."""
MAP_SIDE = 96
"""Places along the longer side of an anomaly map."""
MARKED = 0.5
"""Oddness from which a place belongs to the hottest region: the oddest thousandth of good places."""
PROBE, BANK, TILES, PAIR, WORDS = "probe", "bank", "tiles", "pair", "words"


@dataclass(frozen=True)
class Opinion:
    """What a taught part says of one picture.

    `probabilities` sum to one over the classes. `anomaly` is how many spreads the picture is above the
    typical good one. `anomaly_map` [h, w] covers the whole picture: 0 as good parts, 0.5 as their oddest
    thousandth of places. `box` is the hottest region in pixels, None where nothing is odd. `disagreement` is
    the largest difference between two opinions on the probability of the good class. `not_judged` says why
    the picture is unusable.
    """

    probabilities: dict[str, float]
    anomaly: float
    anomaly_map: NDArray[np.float32]
    box: Box | None
    disagreement: float
    not_judged: str | None


@dataclass(frozen=True)
class HeldOut:
    """What was said of one picture by models that had not seen it."""

    label: str
    probabilities: dict[str, float]
    anomaly: float
    disagreement: float


@dataclass(frozen=True)
class Provenance:
    """What a taught part was made from and how its choices were made."""

    eye: str
    eye_digest: str
    pictures: dict[str, int]
    seed: int
    seconds: float
    chosen: dict[str, str] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """Everything the eye and the banks measured on one picture."""

    pooled: Floats
    embedding: Floats
    bank: Floats
    tiles: Floats | None
    map: NDArray[np.float32]
    measured: Floats


@dataclass(frozen=True)
class TaughtPart:
    """A part as it was taught; `judge` is a pure function of the pixels and the words."""

    classes: tuple[str, ...]
    good: str
    regions: Regions
    bank: Bank
    tiles: Bank | None
    probe: Probe | None
    fusion: Fusion | None
    alone: dict[str, Fusion]
    known: NDArray[np.float32]
    gate: Gate
    limit: float
    held_out: tuple[HeldOut, ...]
    provenance: Provenance

    def judge(self, rgb: Pixels, words: Mapping[str, float] | None = None) -> Opinion:
        """The opinion of one picture RGB [H, W, 3]; raises ImageInvalid where it is none.

        `words` is the language model's log-probability of each class, used where the part was taught with it.
        """
        evidence = look(checked(rgb), self.regions, self.provenance.eye, self.bank, self.tiles)
        opinions = self._opinions(evidence, words)
        probabilities = self._probabilities(opinions, evidence)
        distance = float(nearest_known(evidence.embedding, self.known).min(initial=np.inf))
        return Opinion(
            probabilities=dict(zip(self.classes, probabilities.tolist(), strict=True)),
            anomaly=float(evidence.bank.mean()),
            anomaly_map=evidence.map,
            box=hottest_box(evidence.map, rgb.shape[0], rgb.shape[1]),
            disagreement=self._disagreement(opinions),
            not_judged=self.gate.reason(evidence.measured, distance),
        )

    def _opinions(self, evidence: Evidence, words: Mapping[str, float] | None) -> dict[str, Floats]:
        opinions = {BANK: compressed(evidence.bank)[None]}
        if evidence.tiles is not None:
            opinions[TILES] = compressed(evidence.tiles)[None]
        if self.probe is not None:
            opinions[PROBE] = centred(self.probe.log_probabilities(evidence.pooled[None]))
        if words is not None:
            opinions[WORDS] = centred(word_row(words, self.classes)[None])
        return opinions

    def _probabilities(self, opinions: Mapping[str, Floats], evidence: Evidence) -> Floats:
        if self.fusion is None:
            return good_only(float(evidence.bank.mean()), self.limit)
        fusion = self.fusion
        absent = [name for name in fusion.uses if name not in opinions]
        if absent:
            fusion = self.alone[PROBE]
        return np.exp(fusion.log_probabilities(opinions)[0])

    def _disagreement(self, opinions: Mapping[str, Floats]) -> float:
        good = self.classes.index(self.good)
        said = [
            float(np.exp(fusion.log_probabilities(opinions)[0, good]))
            for name, fusion in self.alone.items()
            if name in opinions
        ]
        return max(said) - min(said) if said else 0.0


def look(
    rgb: Pixels, regions: Regions, eye_name: str, bank: Bank, tiles: Bank | None, fold: int = -1
) -> Evidence:
    """See a picture, and its tiles where it is large, and compare every place with the banks."""
    eye = open_eye(eye_name)
    view = whole_view(rgb, regions)
    sight = eye.see(view)
    scores, odd = bank.look(sight, fold)
    merged = Canvas(rgb.shape[0], rgb.shape[1])
    merged.add(odd, view)
    tile_scores = None
    if tiles is not None:
        found = [(each, *tiles.look(eye.see(each), fold)) for each in tile_views(rgb, regions)]
        for each, _, tile_map in found:
            merged.add(tile_map, each)
        if found:
            tile_scores = np.max([tile_score for _, tile_score, _ in found], 0)
    return Evidence(
        pooled=sight.pooled().double().numpy(),
        embedding=embedding(sight),
        bank=scores,
        tiles=tile_scores,
        map=merged.values,
        measured=measures(rgb, regions.mask(*rgb.shape[:2])),
    )


class Canvas:
    """The anomaly map of a whole picture, onto which the maps of its views are laid; the hotter one stays."""

    def __init__(self, height: int, width: int) -> None:
        longer = max(height, width)
        side = MAP_SIDE if longer <= MAP_SIDE * 16 else longer // 16
        self._scale = side / longer
        self.values: NDArray[np.float32] = np.zeros(
            (max(1, round(height * self._scale)), max(1, round(width * self._scale))), np.float32
        )

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


def good_only(anomaly: float, limit: float) -> Floats:
    """Probabilities of good and anomaly by the score: even where the oddest held-out good part was."""
    return np.exp(log_softmax(np.array([limit - anomaly, anomaly - limit])))


def word_row(words: Mapping[str, float], classes: tuple[str, ...]) -> Floats:
    """The log-probability of each class in order; raises TeachingInvalid where one is missing."""
    absent = [name for name in classes if name not in words]
    if absent:
        raise TeachingInvalid(
            f"the words say nothing of {absent}", hint="give a log-probability for every class"
        )
    return np.array([words[name] for name in classes], np.float64)


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
