"""Evaluates and calibrates a recipe on a folder that has been judged with it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from engine.tuning import TaughtPart
from schemas.recipe import Recipe
from services.teach.calibration import Aims, Calibration, calibrate
from services.teach.evaluation import Evaluation, evaluate
from services.teach.evaluation.measure import Subject
from services.teach.evaluation.page import evaluation_page
from services.teach.standing import data_digest, evidence_of
from services.teach.taught.judging import Judged, overlay_of
from services.teach.taught.maps import map_auroc
from services.teach.taught.recipe_file import Change, next_version


@dataclass(frozen=True, slots=True)
class JudgedFolder:
    """A folder, the recipe that judged it, and what it said."""

    folder: Path
    file: Path
    recipe: Recipe
    judged: Judged
    part: TaughtPart | None = None
    """What was taught; None where the language model judged alone."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration, and the recipe as it is afterwards."""

    calibration: Calibration
    recipe: Recipe


def evaluated(found: JudgedFolder) -> Evaluation:
    """Every figure of the recipe on the folder; that of the maps where there are masks."""
    result = evaluate(found.judged.outcomes, subject_of(found.recipe, found.folder, found.judged.scores))
    if found.part is None:
        return result
    return result.model_copy(update={"map_auroc": map_auroc(found.part, found.judged.samples)})


def evaluated_page(found: JudgedFolder, result: Evaluation) -> str:
    """The page of an evaluation, with anomaly maps over the worst mistakes where something was taught."""
    overlay = None if found.part is None else overlay_of(found.part, found.judged.samples)
    return evaluation_page(result, overlay)


def calibrated_recipe(found: JudgedFolder, aims: Aims, by: str, *, write: bool) -> Calibrated:
    """Thresholds that keep the aims, written as the next version of the recipe with their evidence.

    Raises AimUnreachable when the parts cannot carry the aims; the recipe then stays as it is.
    """
    limits = found.recipe.thresholds
    result = calibrate(found.judged.outcomes, aims, limits.accept_below, limits.reject_from)
    if not write:
        return Calibrated(result, found.recipe)
    scores: Literal["out-of-fold", "held-out"] = "out-of-fold" if found.judged.taught else "held-out"
    evidence = evidence_of(
        result,
        scores=scores,
        data_digest=data_digest((each.name, each.look.digest) for each in found.judged.samples),
        taught_digest=found.recipe.taught.digest if found.recipe.taught else None,
        by=by,
        moment=datetime.now(UTC).replace(microsecond=0),
    )
    change = Change(thresholds=(result.accept_below, result.reject_from), evidence=evidence)
    return Calibrated(result, next_version(found.file, change))


def subject_of(recipe: Recipe, folder: Path, scores: str) -> Subject:
    """What an evaluation of this recipe is about."""
    return Subject(
        recipe.recipe_id,
        recipe.version,
        recipe.taught.digest if recipe.taught else None,
        str(folder),
        scores,
        recipe.thresholds.accept_below,
        recipe.thresholds.reject_from,
        datetime.now(UTC).replace(microsecond=0),
    )
