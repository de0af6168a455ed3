"""A taught part: everything that was learned from a plant's pictures, and what it says of the next one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import TeachingInvalid
from engine.tuning.bank import Bank
from engine.tuning.curve import Advice, CurvePoint
from engine.tuning.eye import Eye, open_eye
from engine.tuning.fusion import Fusion, centred, summarised
from engine.tuning.gate import Gate
from engine.tuning.looking import Evidence, Instruments, hottest_box, nearest_known
from engine.tuning.pair import PairScale
from engine.tuning.pictures import Box, Pixels, Regions, checked
from engine.tuning.probe import Floats, Probe, log_softmax

ANOMALY = "anomaly"
"""The second class of a part that was taught with good pictures only."""
COARSE = slice(1, None)
"""Taps of the bank, strides 16 and 32, whose mean ranks whole pictures; stride 8 only adds noise there."""
PROBE, BANK, TILES, PAIR, WORDS = "probe", "bank", "tiles", "pair", "words"


@dataclass(frozen=True)
class Opinion:
    """What a taught part says of one picture.

    `probabilities` sum to one over the classes. `anomaly` is how many spreads the picture is above the
    typical good one. `anomaly_map` [h, w] covers the whole picture: 0 as good parts, 0.5 as their oddest
    thousandth of places. `box` is the hottest region in pixels, None where nothing is odd. `disagreement` is
    the largest difference between two opinions on the probability of the good class, and the picture
    `is_doubtful` where it is larger than on any good picture, if that tells. `not_judged` says why
    the picture is unusable. `said` is what each opinion says by itself, by its name.
    """

    probabilities: dict[str, float]
    anomaly: float
    anomaly_map: NDArray[np.float32]
    box: Box | None
    disagreement: float
    is_doubtful: bool
    not_judged: str | None
    said: dict[str, dict[str, float]]


@dataclass(frozen=True)
class HeldOut:
    """What was said of one picture by models that had not seen it."""

    label: str
    probabilities: dict[str, float]
    anomaly: float
    disagreement: float

    @property
    def named(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


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
class TaughtPart:
    """A part as it was taught; `judge` is a pure function of the pixels and the words.

    `wordless` is the fusion to fall back on where the language model was not asked.
    """

    classes: tuple[str, ...]
    good: str
    regions: Regions
    bank: Bank
    tiles: Bank | None
    pair: PairScale | None
    probe: Probe | None
    fusion: Fusion | None
    wordless: Fusion | None
    alone: dict[str, Fusion]
    known: NDArray[np.float32]
    gate: Gate
    limit: float
    held_out: tuple[HeldOut, ...]
    curve: tuple[CurvePoint, ...]
    advice: tuple[Advice, ...]
    provenance: Provenance

    def judge(
        self,
        rgb: Pixels,
        golden: Pixels | None = None,
        words: Mapping[str, float] | None = None,
        eye: Eye | None = None,
    ) -> Opinion:
        """The opinion of one picture RGB [H, W, 3]; raises ImageInvalid where it is none.

        `golden` is the defect-free picture beside it, needed where the part was taught in pairs. `words` is
        the language model's log-probability of each class, used where the part was taught with it. `eye` is
        the one to look with, where it is not to be the process's own.
        """
        instruments = self.instruments(eye or open_eye(self.provenance.eye))
        evidence = instruments.look(checked(rgb), None if golden is None else checked(golden))
        opinions = self._opinions(evidence, words)
        probabilities = self._probabilities(opinions, evidence)
        said = self._said(opinions)
        goods = [each[self.good] for each in said.values()]
        disagreement = max(goods) - min(goods) if goods else 0.0
        distance = float(nearest_known(evidence.embedding, self.known).min(initial=np.inf))
        return Opinion(
            probabilities=dict(zip(self.classes, probabilities.tolist(), strict=True)),
            anomaly=anomaly_of(evidence),
            anomaly_map=evidence.map,
            box=hottest_box(evidence.map, rgb.shape[0], rgb.shape[1]),
            disagreement=disagreement,
            is_doubtful=disagreement > self.most_disagreement,
            not_judged=self.gate.reason(rgb, self.regions.mask(*rgb.shape[:2]), distance),
            said=said,
        )

    @property
    def most_disagreement(self) -> float:
        """The largest disagreement on a held-out picture that was rightly named good.

        Infinite where no bad picture that was named good would have been caught by it: without that gain it
        would only hold good parts back.
        """
        named_good = [
            each
            for each in self.held_out
            if max(each.probabilities, key=each.probabilities.__getitem__) == self.good
        ]
        rightly = max((each.disagreement for each in named_good if each.label == self.good), default=0.0)
        caught = [each for each in named_good if each.label != self.good and each.disagreement > rightly]
        return rightly if caught else math.inf

    def instruments(self, eye: Eye) -> Instruments:
        """What pictures of this part are measured with."""
        return Instruments(eye, self.regions, self.bank, self.tiles, self.pair)

    def _opinions(self, evidence: Evidence, words: Mapping[str, float] | None) -> dict[str, Floats]:
        scores = scores_of(evidence)
        opinions = {name: summarised(numbers[None]) for name, numbers in scores.items()}
        if self.probe is not None:
            opinions[PROBE] = centred(self.probe.log_probabilities(evidence.features[None]))
        if words is not None:
            opinions[WORDS] = centred(word_row(words, self.classes)[None])
        return opinions

    def _probabilities(self, opinions: Mapping[str, Floats], evidence: Evidence) -> Floats:
        if self.fusion is None:
            return good_only(anomaly_of(evidence), self.limit)
        fusion = self.fusion
        if self.wordless is not None and WORDS in fusion.uses and WORDS not in opinions:
            fusion = self.wordless
        return np.exp(fusion.log_probabilities(opinions)[0])

    def _said(self, opinions: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
        return {
            name: dict(zip(self.classes, np.exp(fusion.log_probabilities(opinions)[0]).tolist(), strict=True))
            for name, fusion in self.alone.items()
            if name in opinions
        }


def scores_of(evidence: Evidence) -> dict[str, Floats]:
    """Every score in spreads above good parts, by the opinion it is of."""
    every = {BANK: evidence.bank, TILES: evidence.tiles, PAIR: evidence.pair}
    return {name: numbers for name, numbers in every.items() if numbers is not None}


def anomaly_of(evidence: Evidence) -> float:
    """The one score where nothing bad was ever shown: of the pair if there is one, else of bank and tiles."""
    if evidence.pair is not None:
        return float(evidence.pair.mean())
    whole = float(evidence.bank[COARSE].mean())
    return whole if evidence.tiles is None else max(whole, float(evidence.tiles.mean()))


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
