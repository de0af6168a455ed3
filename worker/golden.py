"""The golden images of each recipe, ready for the prompt."""

from engine import Image
from schemas.recipe import Recipe
from services.infra.intake.recipes import RecipeBook
from worker.regions import apply_regions


class GoldenShelf:
    """Reads a recipe's golden images once for each version of it; used by one thread."""

    def __init__(self, recipes: RecipeBook) -> None:
        self._recipes = recipes
        self._shelf: dict[str, tuple[str, tuple[Image, ...]]] = {}

    def images(self, recipe: Recipe) -> tuple[Image, ...]:
        """The recipe's golden images with its regions applied, in its order; the same objects every time.

        Raises RecipeInvalid when a file is gone, or another one than when the recipe was loaded.
        """
        if not recipe.golden:
            return ()
        digest = recipe.digest
        kept = self._shelf.get(recipe.recipe_id)
        if kept is None or kept[0] != digest:
            seen = (apply_regions(pixels, recipe.regions) for pixels in self._recipes.golden_pixels(recipe))
            kept = digest, tuple(Image(pixels) for pixels in seen)
            self._shelf[recipe.recipe_id] = kept
        return kept[1]
