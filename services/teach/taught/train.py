"""From a folder of pictures to a recipe version: taught, measured on left-out pictures, calibrated."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine import EngineError, tuning
from engine.tuning import CurvePoint, TaughtPart, TeachOptions
from schemas.evidence import Taught
from schemas.recipe import DefectClass, Recipe
from services.teach.calibration import Aims, Calibration, calibrate
from services.teach.calibration.aims import automatic_aims
from services.teach.data.check import CheckOptions, checked
from services.teach.data.report import CheckReport
from services.teach.errors import TeachingError
from services.teach.evaluation import Evaluation, evaluate
from services.teach.evaluation.outcomes import Outcomes
from services.teach.standing import data_digest, evidence_of
from services.teach.taught.advice import advice_on
from services.teach.taught.artefact import open_artefact, save_artefact
from services.teach.taught.calibrate import subject_of
from services.teach.taught.judging import judge_samples, out_of_fold
from services.teach.taught.lesson import Lesson, lesson_of
from services.teach.taught.names import wording
from services.teach.taught.recipe_file import (
    Change,
    find_recipe,
    new_recipe,
    next_version,
    refuse_a_wrong_name,
)

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done and what is being done."""

LOOKING, TEACHING = 0.1, 0.8
"""Shares of the work at which each stage ends; judging what was held back takes the rest."""

START = (0.35, 0.65)
"""Thresholds of a recipe that no calibration has moved."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What is taught, for which recipe, and how long it may take."""

    recipe_id: str
    recipes: Path
    by: str
    station_id: str | None = None
    part: str | None = None
    seconds: float = 600.0
    seed: int = 0
    aims: Aims | None = None
    """None chooses the strictest bounds that so many parts can carry."""
    check: CheckOptions = field(default_factory=CheckOptions)


@dataclass(frozen=True, slots=True)
class Trained:
    """A recipe version and everything that was measured on the way to it."""

    recipe: Recipe
    file: Path
    check: CheckReport
    out_of_fold: Evaluation
    test: Evaluation | None
    """Of the pictures that the folder itself holds back."""
    calibration: Calibration
    curve: tuple[CurvePoint, ...]
    advice: tuple[str, ...]
    seconds: float


def train(folder: Path, options: TrainOptions, progress: Progress | None = None) -> Trained:
    """Teach a part and write the recipe version that names it.

    Raises FolderInvalid, TooFewPictures and AimUnreachable for pictures that cannot carry what is asked, and
    RecipeInvalid for a recipe that cannot be written.
    """
    started = time.monotonic()
    tell = progress or (lambda _share, _what: None)
    found = find_recipe(options.recipes, options.recipe_id)
    if found is None:
        refuse_a_wrong_name(options.recipes, options.recipe_id, options.station_id)
    looked = checked(folder, options.check, lambda done, of: tell(LOOKING * done / of, "looking at pictures"))
    lesson = lesson_of(looked, found[1].regions if found else None)
    part = _taught(lesson, options, lambda share, what: tell(LOOKING + (TEACHING - LOOKING) * share, what))
    measured = out_of_fold(part, lesson.taught, folder)
    calibration = calibrated(measured, options.aims, *START)
    taught = save_artefact(options.recipes, options.recipe_id, part, lesson.taught, folder)
    recipe, file = _written(found, lesson, part, taught, calibration, options)
    subject = subject_of(recipe, folder, "out-of-fold")
    test = _tested(recipe, lesson, folder, options, tell)
    tell(1.0, "done")
    return Trained(
        recipe,
        file,
        looked.report,
        evaluate(measured, subject),
        test,
        calibration,
        part.curve,
        tuple(advice_on(part, calibration)),
        time.monotonic() - started,
    )


def calibrated(outcomes: Outcomes, aims: Aims | None, accept_below: float, reject_from: float) -> Calibration:
    """The calibration for the aims; without any, for the strictest that the number of parts can carry.

    Those are chosen by the count alone, so the promise holds; as nobody set them, they are no aims. The band
    for review stays at least as wide as it was, unless it would then hold every good part.
    """
    if aims is not None:
        return calibrate(outcomes, aims, accept_below, reject_from)
    good, bad = outcomes.parts()
    found = calibrate(outcomes, automatic_aims(len(good), len(bad)), accept_below, reject_from)
    wide = min(found.accept_below, accept_below), max(found.reject_from, reject_from)
    kept = calibrate(outcomes, Aims(), *wide)
    return kept if kept.accepted_good != 0.0 else calibrate(outcomes, Aims(), found.accept_below, wide[1])


def _taught(lesson: Lesson, options: TrainOptions, progress: Progress) -> TaughtPart:
    how = TeachOptions(good=lesson.good, seconds=options.seconds, seed=options.seed)
    try:
        return tuning.teach([each.labelled() for each in lesson.taught], how, progress)
    except EngineError as error:
        raise TeachingError(error.detail, hint=error.hint) from error


def _written(
    found: tuple[Path, Recipe] | None,
    lesson: Lesson,
    part: TaughtPart,
    taught: Taught,
    calibration: Calibration,
    options: TrainOptions,
) -> tuple[Recipe, Path]:
    """The recipe with its new version: classes, thresholds, artefact and evidence."""
    evidence = evidence_of(
        calibration,
        scores="out-of-fold",
        data_digest=data_digest((each.name, each.look.digest) for each in lesson.taught),
        taught_digest=taught.digest,
        by=options.by,
        moment=datetime.now(UTC).replace(microsecond=0),
    )
    classes = recipe_classes(part, lesson.labels, found[1] if found else None)
    limits = (calibration.accept_below, calibration.reject_from)
    change = Change(classes, limits, taught, evidence)
    if found is not None:
        return next_version(found[0], change), found[0]
    path = new_recipe(options.recipes, options.recipe_id, options.station_id, options.part, change)
    written = find_recipe(options.recipes, options.recipe_id)
    assert written is not None, path
    return written[1], path


def recipe_classes(
    part: TaughtPart, labels: dict[str, str], before: Recipe | None
) -> tuple[DefectClass, ...]:
    """A class for each that the part tells apart; what a recipe says of one already stays."""
    known = {each.name: each for each in before.classes} if before else {}
    return tuple(
        known.get(name)
        or DefectClass(
            name=name,
            wording=wording(labels.get(name, name)),
            severity="none" if name == part.good else "major",
            acceptable=name == part.good,
        )
        for name in part.classes
    )


def _tested(
    recipe: Recipe, lesson: Lesson, folder: Path, options: TrainOptions, tell: Progress
) -> Evaluation | None:
    if not lesson.held_back:
        return None
    artefact = open_artefact(options.recipes, recipe)

    def judged(done: int, total: int) -> None:
        tell(TEACHING + (1 - TEACHING) * done / total, "judging held-out pictures")

    outcomes = judge_samples(artefact, lesson.held_back, folder, judged).outcomes
    return evaluate(outcomes, subject_of(recipe, folder, "held-out")) if len(outcomes) else None
