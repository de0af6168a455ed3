"""What a taught part says of labelled pictures; of those it was taught with, what it said without them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.tuning import TaughtPart
from services.infra.intake.images import Rgb
from services.teach.drawing import with_map
from services.teach.evaluation.outcomes import Outcomes
from services.teach.taught.artefact import Artefact
from services.teach.taught.lesson import Sample, named_for

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
            opinion = sample.judged_by(part)
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


def overlay_of(part: TaughtPart, samples: Sequence[Sample]) -> Callable[[Path], Rgb]:
    """Draws what was looked at of a picture file, with its anomaly map over it."""
    by_path = {str(each.picture.path): each for each in samples}

    def overlay(path: Path) -> Rgb:
        sample = by_path[str(path)]
        return with_map(sample.pixels(), sample.judged_by(part).anomaly_map)

    return overlay
