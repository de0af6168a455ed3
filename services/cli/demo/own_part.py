"""The end of the demo: a part that no model here has seen is taught and judged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from services.cli.progress import advancing
from services.teach.evaluation.page import evaluation_page
from services.teach.taught.train import Trained, TrainOptions, train

COOKIES = "cookies"
SECONDS = 60.0
"""How long looking at turned pictures may take on one core."""


def teach_cookies(samples: Path, directory: Path, console: Console) -> Iterator[str]:
    """Teaches the biscuits into a recipe of the demo's own, and says how it judges those held back.

    Says nothing where the samples have no biscuits.
    """
    pictures = samples / COOKIES
    if not pictures.is_dir():
        return
    home = directory / "own-part"
    shutil.rmtree(home, ignore_errors=True)
    (home / "recipes").mkdir(parents=True)
    with advancing(console) as progress:
        options = TrainOptions(COOKIES, home / "recipes", "the demo", part="biscuit", seconds=SECONDS)
        trained = train(pictures, options, progress)
    page = home / "evaluation.html"
    page.write_text(evaluation_page(trained.test or trained.out_of_fold), encoding="utf-8")
    yield from _in_words(trained)
    yield f"Evaluation: {page}; recipe: {trained.file}"


def _in_words(trained: Trained) -> Iterator[str]:
    taught = ", ".join(f"{each.pictures} {each.label}" for each in trained.out_of_fold.classes)
    yield f"A part that no model here has seen, biscuits: taught with {taught} in {trained.seconds:.0f} s."
    if trained.test is not None:
        right = sum(each.right for each in trained.test.classes)
        escapes, overkill = trained.test.escapes, trained.test.overkill
        yield (
            f"Of {trained.test.pictures} held back {right} were named rightly; {escapes.count} of "
            f"{escapes.total} cracked accepted, {overkill.count} of {overkill.total} good rejected."
        )
    bound = trained.calibration.escapes
    yield (
        f"Escape rate below {bound.bound:.0%} at {trained.calibration.confidence:.0%} by {bound.total} parts "
        f"left out in turn: the recipe is {trained.recipe.standing.value}."
    )
