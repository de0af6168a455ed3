"""What the starter is trained on: the source, how it is varied, and whether a report is asked for."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from starter.pictures.datasets import CropSplit, Split, read_boards, read_metal, read_screws
from starter.pictures.samples import GOOD, Sample
from starter.surfaces.augment import augment, damaged_copy, tilt
from starter.surfaces.surfaces import generate

SOURCE_SHARES = {"surface": 0.7, "metal": 0.2, "board": 0.04, "screw": 0.06}
METAL_SHARES = {"good": 0.35, "damaged": 0.4, "drawn": 0.25}
SURFACE_SHARES = {
    "good": 0.28,
    "missing part": 0.32,
    "pit": 0.09,
    "scratch": 0.09,
    "crack": 0.09,
    "weld spatter": 0.045,
    "dent": 0.045,
    "stain": 0.04,
}
"""What is hard to see comes more often; a missing part is a gap in a pattern, the hardest of all."""

PATTERN_SHARE = 0.6
"""Far more patterns without a gap than with one, so that a pattern is no sign of a missing part."""

THINKING_SHARE = 0.25
OTHER_CLASS_LIST_SHARE = 0.35
"""How often a prompt offers fewer classes in another order, so that the model reads the list it is given."""


@dataclass(frozen=True)
class Mixture:
    """Draws training samples from the generator and from real pictures."""

    metal: Split
    boards: CropSplit
    screws: CropSplit

    @staticmethod
    def read(root: Path) -> "Mixture":
        """Read the real pictures under a folder that holds mcbt, deeppcb and bsdata."""
        return Mixture(read_metal(root), read_boards(root), read_screws(root))

    def draw(self, rng: np.random.Generator) -> tuple[Sample, bool]:
        """A varied sample, and whether the report is asked for."""
        source = str(rng.choice(list(SOURCE_SHARES), p=list(SOURCE_SHARES.values())))
        sample = self._from(source, rng)
        if rng.random() < OTHER_CLASS_LIST_SHARE:
            sample = offer_other_classes(sample, rng)
        return sample, bool(rng.random() < THINKING_SHARE)

    def _from(self, source: str, rng: np.random.Generator) -> Sample:
        if source == "surface":
            label = str(rng.choice(list(SURFACE_SHARES), p=list(SURFACE_SHARES.values())))
            return generate(rng, label=label, pattern_share=PATTERN_SHARE)
        if source == "metal":
            return self._metal(rng)
        crops = self.boards if source == "board" else self.screws
        return augment(crops.train.draw(rng), rng)

    def _metal(self, rng: np.random.Generator) -> Sample:
        choice = str(rng.choice(list(METAL_SHARES), p=list(METAL_SHARES.values())))
        label = "damaged" if choice == "damaged" else GOOD
        candidates = [sample for sample in self.metal.train if sample.label == label]
        sample = candidates[int(rng.integers(len(candidates)))]
        if choice == "drawn":
            sample = damaged_copy(sample, rng)
        elif rng.random() < 0.5:
            sample = tilt(sample, rng)
        return augment(sample, rng)


def offer_other_classes(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample with a shuffled part of its class list, good first and the right one among them."""
    others = [name for name in sample.classes if name not in (GOOD, sample.label)]
    kept = [str(name) for name in rng.permutation(others)[: int(rng.integers(0, len(others) + 1))]]
    offered = kept if sample.label == GOOD else [*kept, sample.label]
    if not offered:
        return sample
    return replace(sample, classes=(GOOD, *(str(name) for name in rng.permutation(offered))))
