"""From a recipe and a frame to the engine's prompt and choices."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine import Image, Prompt
from schemas.recipe import Recipe


def choices(recipe: Recipe) -> tuple[str, ...]:
    """The answers the model may give: the wordings in the recipe's order of classes."""
    return tuple(klass.wording for klass in recipe.classes)


def _fill(text: str, recipe: Recipe) -> str:
    return text.format(part=recipe.part, classes=", ".join(choices(recipe)))


def inspect_text(recipe: Recipe) -> str:
    """The question of the fast verdict, with part and classes filled in."""
    return _fill(recipe.prompt.inspect, recipe)


def diagnose_text(recipe: Recipe) -> str:
    """The request for a written report, with part and classes filled in."""
    return _fill(recipe.prompt.diagnose, recipe)


def inspect_prompt(recipe: Recipe, golden: Sequence[Image], pixels: NDArray[np.uint8]) -> Prompt:
    """Asks for one of `choices(recipe)`.

    Words and golden images first, the frame last: what all parts of a recipe share is computed once.
    """
    return Prompt(parts=(inspect_text(recipe), *golden, Image(pixels, recipe.max_pixels)))


def diagnose_prompt(
    recipe: Recipe,
    golden: Sequence[Image],
    pixels: NDArray[np.uint8],
    oddest: NDArray[np.uint8] | None = None,
) -> Prompt:
    """Asks for the report on what an inspection escalated; in the same order.

    `oddest` is the region of the frame that looks oddest, which the model then sees once more, larger.
    """
    frame = Image(pixels, recipe.max_pixels)
    closer = () if oddest is None else (Image(oddest, recipe.max_pixels),)
    return Prompt(parts=(diagnose_text(recipe), *golden, frame, *closer))
