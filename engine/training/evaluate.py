"""Measures a checkpoint on pictures it was not trained on: classes by score, then written reports."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.serving.engine import Engine
from engine.serving.requests import EngineConfig, Image, Prompt, Sampling
from engine.training.datasets import read_boards, read_metal, read_screws
from engine.training.samples import GOOD, Sample
from engine.training.surfaces import held_out
from engine.training.targets import diagnose_text, inspect_text

HELD_OUT_SURFACES = 400
CROPS = 200
CROP_SEED = 1_000_000_000
REPORT_TOKENS = 400


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


def test_sets(root: Path) -> dict[str, tuple[Sample, ...]]:
    """The pictures to measure with, by source; `root` holds mcbt, deeppcb and bsdata."""
    return {
        "metal": read_metal(root).test,
        "surface": tuple(held_out(HELD_OUT_SURFACES)),
        "board": read_boards(root).test.fixed(CROPS, CROP_SEED),
        "screw": read_screws(root).test.fixed(CROPS, CROP_SEED),
    }


def classify(engine: Engine, samples: Sequence[Sample]) -> list[str]:
    """The most probable class of each picture."""
    waiting = [
        engine.score(Prompt((inspect_text(s.part, s.classes), Image(s.pixels))), s.classes) for s in samples
    ]
    answers = []
    for sample, future in zip(samples, waiting, strict=True):
        scores = future.result().log_probabilities
        answers.append(sample.classes[scores.index(max(scores))])
    return answers


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


def evaluate(
    checkpoint: Path, root: Path, schema: dict[str, Any], reports: int, threads: int | None = None
) -> tuple[dict[str, ClassFigures], dict[str, ReportFigures]]:
    """Class figures of every test set, and report figures of `reports` pictures of each."""
    sets = test_sets(root)
    with Engine(EngineConfig(checkpoint, device="auto", threads=threads)) as engine:
        classes = {name: class_figures(samples, classify(engine, samples)) for name, samples in sets.items()}
        written = {
            name: report_figures(engine, _spread(samples, reports), schema) for name, samples in sets.items()
        }
    return classes, written


def _spread(samples: Sequence[Sample], count: int) -> Sequence[Sample]:
    """`count` samples at even distances, so that every class of an ordered set is among them."""
    step = max(1, len(samples) // count)
    return samples[::step][:count]
