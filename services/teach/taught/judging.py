"""What a taught part says of labelled pictures; of those it was taught with, what it said without them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.tuning import TaughtPart
from services.teach.evaluation.outcomes import Outcomes
from services.teach.taught.artefact import Artefact
from services.teach.taught.lesson import Sample, named_for, read_pixels

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """Outcomes, and how many of them were left-out scores of taught pictures."""

    outcomes: Outcomes
    samples: tuple[Sample, ...]
    taught: int
    unknown: tuple[str, ...]
    """Labels that the recipe has no class for; their pictures were left out."""

    @property
    def scores(self) -> str:
        """Where the scores come from, in the words of the evidence."""
        if not self.taught:
            return "held-out"
        return "out-of-fold" if self.taught == len(self.samples) else "out-of-fold and held-out"


def judge_samples(
    artefact: Artefact, samples: Sequence[Sample], root: Path, progress: ProgressCallback | None = None
) -> Judged:
    """The outcome of every sample whose class the part knows."""
    part = artefact.part
    known, unknown = named_for(samples, part.classes, {part.good})
    outcomes, taught = [], 0
    for number, sample in enumerate(known, start=1):
        index = artefact.held_out_of(sample.digest)
        if index is not None:
            said = part.held_out[index]
            probabilities, anomaly = said.probabilities, said.anomaly
            taught += 1
        else:
            opinion = part.judge(read_pixels(sample.picture.path))
            probabilities, anomaly = opinion.probabilities, opinion.anomaly
        outcomes.append(sample.outcome(probabilities, anomaly, root))
        if progress is not None:
            progress(number, len(known))
    judged = Outcomes(part.classes, frozenset({part.good}), tuple(outcomes))
    return Judged(judged, known, taught, unknown)


def out_of_fold(part: TaughtPart, samples: Sequence[Sample], root: Path) -> Outcomes:
    """The outcomes of the taught pictures, each judged without itself, in their order."""
    items = [
        sample.outcome(said.probabilities, said.anomaly, root)
        for sample, said in zip(samples, part.held_out, strict=True)
    ]
    return Outcomes(part.classes, frozenset({part.good}), tuple(items))


def map_of(part: TaughtPart) -> Callable[[Path], NDArray[np.float32]]:
    """Draws the anomaly map of a picture file."""
    return lambda path: part.judge(read_pixels(path)).anomaly_map
