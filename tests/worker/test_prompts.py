"""The words around the image: the recipe's, and exactly those that the starter was trained on."""

import numpy as np
import pytest

from engine import Image
from schemas.recipe import DefectClass, PromptTexts, Recipe
from services.infra.intake import RecipeBook
from starter.pictures import targets
from tests.conftest import ROOT
from tests.worker.test_verdicts import recipe_of
from worker.prompts import choices, diagnose_text, inspect_prompt, inspect_text


@pytest.mark.parametrize("recipe", RecipeBook(ROOT / "recipes").recipes, ids=lambda recipe: recipe.recipe_id)
def test_the_shipped_recipes_ask_what_the_starter_learned(recipe: Recipe) -> None:
    """Training builds its own prompts; a word of difference would cost accuracy without a sign."""
    assert inspect_text(recipe) == targets.inspect_text(recipe.part, choices(recipe))
    assert diagnose_text(recipe) == targets.diagnose_text(recipe.part, choices(recipe))


def test_words_come_first_and_the_frame_last() -> None:
    """The shared words can be computed once for all parts of a recipe."""
    pixels = np.zeros((56, 56, 3), np.uint8)
    text, image = inspect_prompt(recipe_of(), (), pixels).parts
    assert text == "Inspect the machined surface. Answer with one of: good, scratch, dent."
    assert isinstance(image, Image)
    assert image.pixels is pixels


def test_a_recipe_says_how_large_the_frame_is_shown() -> None:
    """450,000 pixels unless it says otherwise."""
    pixels = np.zeros((56, 56, 3), np.uint8)
    recipes = (recipe_of(), recipe_of().model_copy(update={"max_pixels": 1_000_000}))
    images = [inspect_prompt(recipe, (), pixels).parts[-1] for recipe in recipes]
    assert [image.max_pixels for image in images if isinstance(image, Image)] == [450_000, 1_000_000]


def test_doubled_braces_of_a_recipe_are_braces() -> None:
    """A person may write any text; the recipe's schema lets only {part} and {classes} stand single."""
    texts = PromptTexts(inspect='Look at {part}, reply {{"one": "of"}} {classes}.')
    recipe = recipe_of().model_copy(update={"prompt": texts})
    assert inspect_text(recipe) == 'Look at machined surface, reply {"one": "of"} good, scratch, dent.'


def test_wordings_are_never_filled_in_themselves() -> None:
    """A class called {part} stays what it is, as it does among the choices."""
    odd = (*recipe_of().classes, DefectClass(name="odd", wording="{part}", severity="minor"))
    recipe = recipe_of().model_copy(update={"classes": odd})
    assert inspect_text(recipe).endswith("good, scratch, dent, {part}.")
