"""What the starter is trained on: the source, how it is varied, and whether a report is asked for."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.training.augment import augment, damaged_copy, tilt
from engine.training.datasets import CropSplit, Split, read_boards, read_metal, read_screws
from engine.training.samples import GOOD, Sample
from engine.training.surfaces import generate

SOURCE_SHARES = {"surface": 0.58, "metal": 0.25, "board": 0.07, "screw": 0.1}
METAL_SHARES = {"good": 0.35, "damaged": 0.4, "drawn": 0.25}
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
            return generate(rng)
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
