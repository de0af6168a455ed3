"""Pictures of a plant as what the model will be asked about them."""

from itertools import cycle
from pathlib import Path

from engine.compression import Example
from schemas.recipe import Recipe
from services.cli.errors import InputInvalid
from services.infra.intake import RecipeBook
from services.infra.intake.images import decode
from services.infra.process.errors import LynceusError
from worker.pixels import GoldenImages
from worker.prompts import choices, diagnose_prompt, inspect_prompt

ENDINGS = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def read_examples(pictures: Path, recipes: Path) -> tuple[Example, ...]:
    """For each picture a question of each kind, from the recipe that its folder is named after.

    A picture in another folder is asked about with all recipes by turns. Each inspection is answered with one
    class or another: the engine reads all of them when it scores. Raises InputInvalid where a file is no
    picture, or where there is none.
    """
    shelf = RecipeBook(recipes)
    golden = GoldenImages(shelf)
    book = {recipe.recipe_id: recipe for recipe in shelf.recipes}
    if not book:
        raise InputInvalid(
            f"{recipes} holds no recipe", hint="name the folder of recipe files with --recipes"
        )
    turns = cycle(book.values())
    files = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise InputInvalid(
            f"{pictures} holds no pictures", hint=f"put {', '.join(sorted(ENDINGS))} files in it"
        )
    return tuple(
        example
        for number, path in enumerate(files)
        for example in _examples(path, book.get(path.parent.name) or next(turns), golden, number)
    )


def _examples(path: Path, recipe: Recipe, golden: GoldenImages, number: int) -> tuple[Example, Example]:
    try:
        pixels = decode(path.read_bytes())
    except LynceusError as error:
        raise InputInvalid(f"{path}: {error.detail}", hint=error.hint) from error
    classes, shown = choices(recipe), golden.images(recipe)
    return (
        Example(inspect_prompt(recipe, shown, pixels), thinking=False, answer=classes[number % len(classes)]),
        Example(diagnose_prompt(recipe, shown, pixels), thinking=True, answer=""),
    )
