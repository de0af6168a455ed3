"""Measures a checkpoint on pictures it was not trained on: classes by score, then written reports.

    python -m starter.evaluate PICTURES [CHECKPOINT] [--reports 40] [--json]

PICTURES is the folder that holds mcbt, deeppcb and bsdata.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from engine.serving.engine import Engine
from engine.serving.requests import EngineConfig, Image, Prompt, Sampling
from schemas import Diagnosis
from starter.mixture import Mixture
from starter.pictures.samples import GOOD, Sample
from starter.pictures.targets import diagnose_text, inspect_text
from starter.surfaces.surfaces import held_out
from starter.validation import validation_sets

HELD_OUT_SURFACES = 400
CROPS = 200
CROP_SEED = 1_000_000_000
REPORT_TOKENS = 400
TEMPERATURES = tuple(step / 20 for step in range(4, 81))
"""0.2 to 4.0."""


@dataclass(frozen=True)
class ClassFigures:
    """How a set of pictures was classified: `confusion[truth][answer]` counts pictures."""

    pictures: int
    accuracy: float
    balanced_accuracy: float
    """Mean over the classes of the share that was recognised."""
    escapes: float
    """Share of defective pictures whose most probable class is good."""
    overkill: float
    """Share of good pictures whose most probable class is a defect."""
    confusion: dict[str, dict[str, int]]


@dataclass(frozen=True)
class ReportFigures:
    """Written reports: how many are whole, and how many name the right defect."""

    reports: int
    parsed: float
    right_defect: float


@dataclass(frozen=True)
class Figures:
    """All that is measured of one source; `temperature` is what its recipe should calibrate with."""

    classes: ClassFigures
    reports: ReportFigures
    temperature: float


def test_sets(mixture: Mixture) -> dict[str, tuple[Sample, ...]]:
    """The pictures to measure with, by source; none of them was trained on or chose anything."""
    return {
        "metal": mixture.metal.test,
        "surface": tuple(held_out(HELD_OUT_SURFACES)),
        "board": mixture.boards.test.fixed(CROPS, CROP_SEED),
        "screw": mixture.screws.test.fixed(CROPS, CROP_SEED),
    }


def score(engine: Engine, samples: Sequence[Sample]) -> list[tuple[float, ...]]:
    """The log-probability of each class of each picture, in the order of the sample's classes."""
    waiting = [
        engine.score(Prompt((inspect_text(s.part, s.classes), Image(s.pixels))), s.classes) for s in samples
    ]
    return [future.result().log_probabilities for future in waiting]


def likeliest(samples: Sequence[Sample], scores: Sequence[Sequence[float]]) -> list[str]:
    """The most probable class of each picture."""
    return [sample.classes[each.index(max(each))] for sample, each in zip(samples, scores, strict=True)]


def best_temperature(samples: Sequence[Sample], scores: Sequence[Sequence[float]]) -> float:
    """The temperature under which the right classes are likeliest (Guo et al. 2017), to two digits."""
    logits = [torch.tensor(each) for each in scores]
    right = [sample.classes.index(sample.label) for sample in samples]

    def surprise(temperature: float) -> float:
        return -sum(
            float((each / temperature).log_softmax(0)[index])
            for each, index in zip(logits, right, strict=True)
        )

    return min(TEMPERATURES, key=surprise)


def class_figures(samples: Sequence[Sample], answers: Sequence[str]) -> ClassFigures:
    """Count right and wrong answers."""
    confusion: dict[str, Counter[str]] = {}
    for sample, answer in zip(samples, answers, strict=True):
        confusion.setdefault(sample.label, Counter())[answer] += 1
    recalls = [counts[truth] / counts.total() for truth, counts in confusion.items()]
    right = sum(counts[truth] for truth, counts in confusion.items())
    good = confusion.get(GOOD, Counter())
    defective = len(samples) - good.total()
    missed = sum(counts[GOOD] for truth, counts in confusion.items() if truth != GOOD)
    return ClassFigures(
        pictures=len(samples),
        accuracy=right / len(samples),
        balanced_accuracy=sum(recalls) / len(recalls),
        escapes=missed / max(defective, 1),
        overkill=(good.total() - good[GOOD]) / max(good.total(), 1),
        confusion={truth: dict(counts) for truth, counts in confusion.items()},
    )


def report_figures(engine: Engine, samples: Sequence[Sample], schema: dict[str, Any]) -> ReportFigures:
    """Have a report written for each picture, and compare the defect it names with the truth."""
    parsed = right = 0
    for sample, content in zip(samples, _written(engine, samples, schema), strict=True):
        try:
            defect = json.loads(content)["defect"]
        except json.JSONDecodeError:
            continue
        parsed += 1
        right += defect == ("none" if sample.label == GOOD else sample.label)
    return ReportFigures(len(samples), parsed / len(samples), right / len(samples))


def _written(engine: Engine, samples: Sequence[Sample], schema: dict[str, Any]) -> Iterator[str]:
    waiting = [
        engine.generate(
            Prompt((diagnose_text(s.part, s.classes), Image(s.pixels))),
            Sampling(max_tokens=REPORT_TOKENS),
            thinking=True,
            schema=schema,
        )
        for s in samples
    ]
    return (future.result().content for future in waiting)


def evaluate(checkpoint: Path, root: Path, schema: dict[str, Any], reports: int) -> dict[str, Figures]:
    """Figures of every source whose pictures lie under `root`, with `reports` written reports for each.

    Temperatures come from the validation pictures, everything else from the test pictures.
    """
    mixture = Mixture.read(root)
    validation = validation_sets(mixture)
    with Engine(EngineConfig(checkpoint)) as engine:
        return {
            name: Figures(
                class_figures(samples, likeliest(samples, score(engine, samples))),
                report_figures(engine, _spread(samples, reports), schema),
                best_temperature(validation[name], score(engine, validation[name])),
            )
            for name, samples in test_sets(mixture).items()
        }


def _spread(samples: Sequence[Sample], count: int) -> Sequence[Sample]:
    """`count` samples at even distances, so that every class of an ordered set is among them."""
    step = max(1, len(samples) // count)
    return samples[::step][:count]


def as_table(figures: Mapping[str, Figures]) -> Table:
    """One row a source."""
    table = Table(
        "source", "pictures", "balanced", "escapes", "overkill", "reports", "whole", "right", "temp."
    )
    for name, figure in figures.items():
        classes, written = figure.classes, figure.reports
        table.add_row(
            name,
            str(classes.pictures),
            *(f"{share:.1%}" for share in (classes.balanced_accuracy, classes.escapes, classes.overkill)),
            str(written.reports),
            *(f"{share:.1%}" for share in (written.parsed, written.right_defect)),
            f"{figure.temperature:.2f}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table, or figures and confusion counts as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=Path("models/starter"))
    parser.add_argument("--reports", type=int, default=40, help="reports to have written per source")
    parser.add_argument("--json", action="store_true", help="figures and confusion counts as JSON")
    options = parser.parse_args(arguments)
    console = Console()
    with console.status("Classifying held-out pictures and having reports written ..."):
        figures = evaluate(
            options.checkpoint, options.pictures, Diagnosis.model_json_schema(), options.reports
        )
    if options.json:
        console.print_json(data={name: asdict(figure) for name, figure in figures.items()})
    else:
        console.print(as_table(figures))


if __name__ == "__main__":
    main()
