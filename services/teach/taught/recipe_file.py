"""Writes recipe versions: a new file, or the changed blocks of one that a person keeps with its comments."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from schemas.base import Identifier
from schemas.evidence import Evidence, Taught
from schemas.recipe import DefectClass, Recipe
from services.infra.intake import load_recipe
from services.infra.intake.yaml_file import read_message
from services.infra.process.errors import RecipeInvalid
from services.teach.errors import TeachingError
from services.teach.taught.artefact import FOLDER, RECIPE

ORDER = (
    "recipe_id",
    "version",
    "station_id",
    "part",
    "classes",
    "thresholds",
    "taught",
    "evidence",
    "deadline_ms",
)
HEAD = "# Taught by `lynceus train`; edit what you like, and raise the version when you do.\n"
DEADLINE_MS = 5000

_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


@dataclass(frozen=True, slots=True)
class Change:
    """What a new version says otherwise than the one before; None leaves a block as it is."""

    classes: tuple[DefectClass, ...] | None = None
    thresholds: tuple[float, float] | None = None
    taught: Taught | None = None
    evidence: Evidence | None = None


def find_recipe(recipes: Path, recipe_id: str) -> tuple[Path, Recipe] | None:
    """The file and content of a recipe; None where no file has this name. Raises RecipeInvalid."""
    for path in sorted(recipes.glob("*.y*ml")):
        recipe = load_recipe(path)
        if recipe.recipe_id == recipe_id:
            return path, recipe
    return None


def refuse_a_wrong_name(recipes: Path, recipe_id: str, station_id: str | None) -> None:
    """Raises TeachingError for a name that no recipe can have, or a station that another recipe is for."""
    station = station_id or f"station-{recipe_id}"
    for field, name in (("--recipe", recipe_id), ("--station", station)):
        try:
            _IDENTIFIER.validate_python(name)
        except ValidationError as error:
            hint = "use letters, digits and . _ : - only, beginning with a letter or digit"
            raise TeachingError.of(field, name, "cannot be a name", hint) from error
    _refuse_a_taken_station(recipes / f"{recipe_id}.yaml", station)


def new_recipe(
    recipes: Path, recipe_id: str, station_id: str | None, part: str | None, change: Change
) -> Path:
    """Write version 1 of a recipe. Raises RecipeInvalid when its station is taken or a name is wrong."""
    values = {
        "recipe_id": recipe_id,
        "version": 1,
        "station_id": station_id or f"station-{recipe_id}",
        "part": part or recipe_id.replace("-", " ").replace("_", " "),
        "deadline_ms": DEADLINE_MS,
        **_blocks(change),
    }
    text = HEAD + "".join(_dumped(name, values[name]) for name in ORDER if name in values)
    path = recipes / f"{recipe_id}.yaml"
    if path.exists():
        raise TeachingError.of("--recipe", recipe_id, f"{path} holds another recipe", "choose another name")
    _write(path, text)
    return path


def next_version(path: Path, change: Change) -> Recipe:
    """Write the next version of a recipe into its file; comments outside the changed blocks stay."""
    recipe = load_recipe(path)
    blocks = {"version": recipe.version + 1, **_blocks(change, recipe)}
    text = path.read_text(encoding="utf-8")
    for name, value in blocks.items():
        text = _with_block(text, name, _dumped(name, value))
    _write(path, text)
    return load_recipe(path)


def taught_versions(recipes: Path, recipe_id: str) -> list[Recipe]:
    """The last recipe version of every taught part that is kept, the highest version first."""
    kept = (recipes / FOLDER / recipe_id).glob(f"*/{RECIPE}")
    found = [read_message(path, Recipe, RecipeInvalid) for path in kept]
    return sorted(found, key=lambda each: each.version, reverse=True)


def roll_back(recipes: Path, recipe_id: str, digest: str) -> Recipe:
    """Name an older artefact again, by the first letters of its digest, with its thresholds and evidence.

    Raises TeachingError when no taught part, or more than one, begins so.
    """
    found, kept = find_recipe(recipes, recipe_id), taught_versions(recipes, recipe_id)
    meant = [each for each in kept if each.taught and each.taught.digest.startswith(digest)]
    if found is None or len(meant) != 1:
        known = ", ".join(each.taught.digest[:12] for each in kept if each.taught) or "none"
        raise TeachingError.of(
            "DIGEST", digest, f"is not one taught part of {recipe_id}", f"use one of: {known}"
        )
    old = meant[0]
    limits = (old.thresholds.accept_below, old.thresholds.reject_from)
    return next_version(found[0], Change(old.classes, limits, old.taught, old.evidence))


def _blocks(change: Change, recipe: Recipe | None = None) -> dict[str, Any]:
    blocks: dict[str, Any] = {}
    if change.classes is not None:
        blocks["classes"] = [_class_block(each) for each in change.classes]
    if change.thresholds is not None:
        accept_below, reject_from = change.thresholds
        blocks["thresholds"] = {"accept_below": accept_below, "reject_from": reject_from}
        if recipe is not None and change.taught is None and recipe.thresholds.temperature != 1.0:
            blocks["thresholds"]["temperature"] = recipe.thresholds.temperature
    if change.taught is not None:
        blocks["taught"] = change.taught.model_dump(mode="json")
    if change.evidence is not None:
        blocks["evidence"] = change.evidence.model_dump(mode="json", exclude_none=True)
    return blocks


def _class_block(each: DefectClass) -> dict[str, Any]:
    block = {"name": each.name, "wording": each.wording, "severity": each.severity}
    return block | ({"acceptable": True} if each.acceptable else {})


def _dumped(name: str, value: object) -> str:
    return yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=True, width=100)


def _with_block(text: str, name: str, block: str) -> str:
    """The text with a top-level block exchanged, or added at the end."""
    lines = text.splitlines(keepends=True)
    start = next((index for index, line in enumerate(lines) if re.match(rf"{name}\s*:", line)), None)
    if start is None:
        return text + ("" if text.endswith("\n") else "\n") + block
    end = start + 1
    while end < len(lines) and (lines[end].startswith((" ", "\t", "- ")) or lines[end] == "-\n"):
        end += 1
    return "".join(lines[:start]) + block + "".join(lines[end:])


def _write(path: Path, text: str) -> None:
    """Replace a recipe file at once, if it is right by itself and beside the others; raises RecipeInvalid."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    try:
        recipe = load_recipe(scratch)
        _refuse_a_taken_station(path, recipe.station_id)
        if recipe.taught is not None:
            (path.parent / recipe.taught.path / RECIPE).write_text(text, encoding="utf-8")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _refuse_a_taken_station(path: Path, station_id: str) -> None:
    for other in sorted(path.parent.glob("*.y*ml")):
        if other != path and load_recipe(other).station_id == station_id:
            raise TeachingError.of(
                "--station",
                station_id,
                f"{other.name} is for this station",
                "name another with --station",
            )
