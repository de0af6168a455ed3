"""Judges a folder of labelled pictures with a recipe: by what was taught, or by the language model alone."""

from collections.abc import Sequence
from pathlib import Path

from schemas.recipe import Recipe
from services.cli.errors import EngineRefused
from services.cli.progress import counting
from services.infra.intake import RecipeBook
from services.teach.data import CheckOptions, checked
from services.teach.evaluation import Outcomes
from services.teach.taught.artefact import open_artefact
from services.teach.taught.calibrate import JudgedFolder
from services.teach.taught.judging import Judged, judge_samples
from services.teach.taught.lesson import Sample, named_for, samples_of
from services.teach.taught.recipe_file import find_recipe

AT_ONCE = 32
"""Pictures handed to the engine together; bounds what is in memory."""


def judged_folder(
    folder: Path, recipe_id: str, recipes: Path, checkpoint: Path, options: CheckOptions
) -> JudgedFolder:
    """Every readable picture of the folder whose class the recipe has, judged.

    Raises UnknownRecipe, FolderInvalid, ArtefactInvalid and EngineRefused.
    """
    found = find_recipe(recipes, recipe_id)
    if found is None:
        RecipeBook(recipes).get(recipe_id)
    assert found is not None, recipe_id
    file, recipe = found
    with counting("looking at pictures") as progress:
        samples = samples_of(checked(folder, options, progress), recipe.regions)
    if recipe.taught is None:
        return JudgedFolder(folder, file, recipe, _by_words(recipe, recipes, checkpoint, samples, folder))
    artefact = open_artefact(recipes, recipe)
    with counting("judging") as progress:
        judged = judge_samples(artefact, samples, folder, progress)
    return JudgedFolder(folder, file, recipe, judged, artefact.part)


def _by_words(
    recipe: Recipe, recipes: Path, checkpoint: Path, samples: Sequence[Sample], folder: Path
) -> Judged:
    """The same prompt, scores and temperature as a worker's verdict."""
    from engine import Engine, EngineConfig, EngineError
    from worker.pixels import GoldenImages
    from worker.prompts import choices, inspect_prompt
    from worker.verdicts import softmax

    names = tuple(each.name for each in recipe.classes)
    acceptable = frozenset(each.name for each in recipe.classes if each.acceptable)
    known, unknown = named_for(samples, names, acceptable)
    golden = GoldenImages(RecipeBook(recipes)).images(recipe)
    outcomes = []
    try:
        with Engine(EngineConfig(checkpoint)) as engine, counting("judging") as progress:
            for start in range(0, len(known), AT_ONCE):
                some = known[start : start + AT_ONCE]
                seen = [each.pixels() for each in some]
                asked = [engine.score(inspect_prompt(recipe, golden, each), choices(recipe)) for each in seen]
                for sample, scores in zip(some, asked, strict=True):
                    said = softmax(scores.result().log_probabilities, recipe.thresholds.temperature)
                    outcomes.append(sample.outcome(dict(zip(names, said, strict=True)), None, folder))
                progress(len(outcomes), len(known))
    except EngineError as error:
        raise EngineRefused(error.detail, hint=error.hint) from error
    return Judged(Outcomes(names, acceptable, tuple(outcomes)), known, 0, unknown)
