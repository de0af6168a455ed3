"""Measures the recipes that ship on pictures the starter was not trained on, and writes the figures in.

    python -m starter.evidence DATA [--recipes recipes] [--checkpoint models/starter]

DATA holds the pictures by source, as for training. The thresholds stay; the counts and bounds are new.
"""

import argparse
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import yaml

from engine.serving.engine import Engine
from engine.serving.requests import EngineConfig
from schemas.evidence import Evidence
from schemas.recipe import Recipe
from services.infra.intake import load_recipe
from services.teach.calibration.aims import Aims
from services.teach.calibration.calibrate import calibrate
from services.teach.evaluation.outcomes import Outcome, Outcomes
from services.teach.standing import data_digest, evidence_of
from starter.evaluate import score, test_sets
from starter.mixture import Mixture
from starter.pictures.samples import Sample
from worker.verdicts import softmax

RECIPES = {"metal": "microscope", "surface": "surface", "board": "board", "screw": "ball-screw"}
"""The recipe that each source of held-out pictures is for."""

MARK = (
    "\n# Measured by `python -m starter.evidence` on pictures that the starter was not trained on."
    "\nevidence:\n"
)


def measured(recipe: Recipe, samples: Sequence[Sample], scores: Sequence[Sequence[float]]) -> Evidence:
    """The evidence of a recipe at its own thresholds, from one log-probability a class of each picture."""
    name_of = {klass.wording: klass.name for klass in recipe.classes}
    outcomes = [
        Outcome(
            path=Path(str(number)),
            truth=name_of[sample.label],
            probabilities=dict(
                zip(
                    (name_of[wording] for wording in sample.classes),
                    softmax(each, recipe.thresholds.temperature),
                    strict=True,
                )
            ),
        )
        for number, (sample, each) in enumerate(zip(samples, scores, strict=True))
    ]
    names = tuple(klass.name for klass in recipe.classes)
    acceptable = frozenset(klass.name for klass in recipe.classes if klass.acceptable)
    limits = recipe.thresholds
    calibration = calibrate(
        Outcomes(names, acceptable, tuple(outcomes)), Aims(), limits.accept_below, limits.reject_from
    )
    return evidence_of(
        calibration,
        scores="held-out",
        data_digest=data_digest(
            (each.label, hashlib.sha256(each.pixels.tobytes()).digest()) for each in samples
        ),
        taught_digest=None,
        by="The Lynceus authors",
        moment=datetime.now(UTC).replace(microsecond=0),
    )


def write_into(file: Path, evidence: Evidence) -> None:
    """Replace the evidence at the end of a recipe file; what a person wrote above it stays."""
    text = file.read_text(encoding="utf-8").split(MARK)[0].rstrip("\n")
    fields = evidence.model_dump(mode="json", exclude_none=True)
    block = yaml.safe_dump(fields, sort_keys=False)
    indented = "".join(f"  {line}\n" for line in block.splitlines())
    file.write_text(f"{text}\n{MARK}{indented}", encoding="utf-8")


def main() -> None:
    """Measure every source and write into its recipe."""
    parser = argparse.ArgumentParser("starter.evidence", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipes", type=Path, default=Path("recipes"))
    parser.add_argument("--checkpoint", type=Path, default=Path("models/starter"))
    options = parser.parse_args()
    sets = test_sets(Mixture.read(options.data))
    with Engine(EngineConfig(options.checkpoint, device="cpu")) as engine:
        for source, samples in sets.items():
            file = options.recipes / f"{RECIPES[source]}.yaml"
            write_into(file, measured(load_recipe(file), samples, score(engine, samples)))


if __name__ == "__main__":
    main()
