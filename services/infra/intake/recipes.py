"""Recipes from a folder of YAML files; a wrong file is refused whole, with every wrong field named."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from schemas.problem import FieldError
from schemas.recipe import GoldenImage, Recipe
from services.infra.intake.golden import read_golden
from services.infra.intake.images import Rgb
from services.infra.intake.yaml_file import YamlFault, file_error, invalid, read_message
from services.infra.process.errors import LynceusError, RecipeInvalid, UnknownRecipe

_Fingerprint: TypeAlias = tuple[tuple[Path, int, int], ...]


def load_recipe(path: Path) -> Recipe:
    """Read one recipe and look at its golden images, whose digests it then holds.

    Raises RecipeInvalid naming file, line, field, value and hint of every wrong field.
    """
    golden: list[GoldenImage] = []

    def faults_of(recipe: Recipe) -> Iterator[YamlFault]:
        for index, image in enumerate(recipe.golden):
            try:
                golden.append(read_golden(path.parent, image)[0])
            except LynceusError as error:
                yield YamlFault(("golden", index), error.detail, error.hint or "use another image")

    recipe = read_message(path, Recipe, RecipeInvalid, faults_of)
    return recipe.model_copy(update={"golden": tuple(golden)})


class RecipeBook:
    """The recipes of one folder; a wrong file never replaces a working set."""

    def __init__(self, directory: Path) -> None:
        """Load every `*.yaml` of the folder. Raises RecipeInvalid with the errors of all files together."""
        self._directory = directory
        self._lock = threading.Lock()
        self._seen = _fingerprint(directory)
        self._recipes = _load_all(directory)

    @property
    def directory(self) -> Path:
        """The folder of the recipes and of what they name."""
        return self._directory

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """All recipes, by name."""
        return tuple(self._recipes[name] for name in sorted(self._recipes))

    def get(self, recipe_id: str) -> Recipe:
        """The recipe of this name. Raises UnknownRecipe, which lists what exists."""
        recipe = self._recipes.get(recipe_id)
        if recipe is None:
            raise UnknownRecipe(
                f"no recipe is called {recipe_id!r}", hint=f"use one of: {', '.join(sorted(self._recipes))}"
            )
        return recipe

    def golden_pixels(self, recipe: Recipe) -> tuple[Rgb, ...]:
        """The pixels [H, W, 3] of a recipe's golden images, in its order, read anew at each call.

        Raises RecipeInvalid when a file is gone, or another one than when the recipe was loaded.
        """
        try:
            return tuple(read_golden(self._directory, golden)[1] for golden in recipe.golden)
        except LynceusError as error:
            raise RecipeInvalid(
                f"a golden image of recipe {recipe.recipe_id!r}: {error.detail}", hint=error.hint
            ) from error

    def reload_if_changed(self) -> bool:
        """Load the folder again if a file in it changed, a golden image included; True when it did.

        Raises RecipeInvalid, once for each change, when the new files are wrong; the old recipes stay.
        """
        with self._lock:
            found = _fingerprint(self._directory)
            if found == self._seen:
                return False
            self._seen = found
            self._recipes = _load_all(self._directory)
            return True


def _load_all(directory: Path) -> dict[str, Recipe]:
    recipes: dict[Path, Recipe] = {}
    errors: list[FieldError] = []
    for path in sorted(directory.glob("*.y*ml")):
        try:
            recipes[path] = load_recipe(path)
        except RecipeInvalid as error:
            errors += error.errors
    errors += _clashes(recipes)
    if not recipes and not errors:
        errors.append(file_error(directory, "holds no recipe", "put a *.yaml recipe there"))
    if errors:
        raise invalid(RecipeInvalid, errors)
    return {recipe.recipe_id: recipe for recipe in recipes.values()}


def _clashes(recipes: dict[Path, Recipe]) -> list[FieldError]:
    """Errors for a name or a station that two files claim: which one held would depend on their order."""
    errors = []
    owners: dict[tuple[str, str], Path] = {}
    for path, recipe in recipes.items():
        for field, value in (("recipe_id", recipe.recipe_id), ("station_id", recipe.station_id)):
            owner = owners.setdefault((field, value), path)
            if owner != path:
                errors.append(
                    FieldError(
                        field=field,
                        value=value,
                        file=str(path),
                        detail=f"{owner} has the same {field}",
                        hint=f"give one of the two files another {field}",
                    )
                )
    return errors


def _fingerprint(directory: Path) -> _Fingerprint:
    return tuple(map(_mark, sorted(directory.rglob("*.*"))))


def _mark(path: Path) -> tuple[Path, int, int]:
    """Path, moment of change and size; a file that went away or lies in a loop of links has no moment."""
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0
    return path, stat.st_mtime_ns, stat.st_size
