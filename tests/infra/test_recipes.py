"""Recipes: the shipped ones load, and a wrong one is refused with file, line, field, value and hint."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from services.infra.intake import RecipeBook, load_recipe
from services.infra.process.errors import RecipeInvalid, UnknownRecipe

SHIPPED = Path(__file__).resolve().parents[2] / "recipes"

GOOD = """\
recipe_id: surface
version: 1
station_id: station-1
part: machined surface
classes:
  - name: good
    wording: good
    severity: none
    acceptable: true
  - name: scratch
    wording: scratch
    severity: minor
thresholds:
  accept_below: 0.35
  reject_from: 0.65
deadline_ms: 5000
"""


def written(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    """The text as a recipe file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_recipes_load() -> None:
    """All four, each with its station, one acceptable class called good, and the agreed thresholds."""
    book = RecipeBook(SHIPPED)
    assert [recipe.recipe_id for recipe in book.recipes] == ["ball-screw", "board", "microscope", "surface"]
    for recipe in book.recipes:
        assert [item.name for item in recipe.classes if item.acceptable] == ["good"]
        assert (recipe.thresholds.accept_below, recipe.thresholds.reject_from) == (0.35, 0.65)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "value", "hint"),
    [
        ("deadline_ms: 5000", "deadline_ms: soon", 16, "deadline_ms", "soon", "integer"),
        ("deadline_ms: 5000", "deadline_ms: 0", 16, "deadline_ms", "0", "greater than or equal to 1"),
        ("deadline_ms: 5000", "deadline: 5000\ndeadline_ms: 5", 16, "deadline", "5000", "deadline_ms"),
        ("station_id: station-1", "station_id: Halle 3", 3, "station_id", "Halle 3", "letters, digits"),
        ("wording: scratch", "wording: no", 11, "classes.1.wording", "no", "quotes"),
        ("severity: minor", "severity: mild", 12, "classes.1.severity", "mild", "'minor'"),
        ("  reject_from: 0.65\n", "", 13, "thresholds.reject_from", None, "add a line `reject_from: …`"),
        ("accept_below: 0.35", "accept_below: 0.9", 15, "thresholds.reject_from", "0.65", "accept_below"),
        ("deadline_ms: 5000", "deadline_ms: 5000\nversion: 2", 17, "version", "2", "one of the two"),
        (
            "    severity: minor",
            "    severity: minor\n    name: dent",
            13,
            "classes.1.name",
            "dent",
            "one of",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_hint(
    tmp_path: Path, old: str, new: str, line: int, field: str, value: str | None, hint: str
) -> None:
    """One wrong line makes one error that says all a person needs to correct it."""
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(path)
    [error] = caught.value.errors
    assert (error.file, error.line, error.field, error.value) == (str(path), line, field, value)
    assert hint in error.hint
    assert f"{path}:{line} {field}" in caught.value.detail


def test_all_wrong_values_are_named_at_once(tmp_path: Path) -> None:
    """Nobody has to load the file five times to find five mistakes; they come in the file's order."""
    text = GOOD.replace("severity: minor", "severity: mild\n    colour: red").replace(
        "deadline_ms: 5000", "deadline_ms: -1\nversion: 2"
    )
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(written(tmp_path, text))
    assert [(error.line, error.field) for error in caught.value.errors] == [
        (12, "classes.1.severity"),
        (13, "classes.1.colour"),
        (17, "deadline_ms"),
        (18, "version"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD.replace("  accept_below", "\taccept_below"), 14, "spaces, not with tabs"),
        (GOOD.replace("part: machined surface", "part: [machined"), 5, "correct the YAML"),
        ("- a list", None, "name: value"),
        ("", None, "name: value"),
        (GOOD.replace("version: 1", "version: 2026-99-99"), None, "quotes"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    """Tabs, open brackets, lists, empty files and impossible dates are named, not passed on."""
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(written(tmp_path, text))
    [error] = caught.value.errors
    assert error.line == line
    assert words in error.hint


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Neither a missing file nor one that is not UTF-8 ends in a stack trace."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("part: Fräsfläche".encode("latin-1"))
    for path in (latin, tmp_path / "none.yaml"):
        with pytest.raises(RecipeInvalid, match="cannot be read"):
            load_recipe(path)


def test_an_unknown_recipe_lists_what_exists() -> None:
    """The hint names the recipes there are."""
    book = RecipeBook(SHIPPED)
    with pytest.raises(UnknownRecipe) as caught:
        book.get("surfaces")
    assert "surface" in str(caught.value.hint)


def test_the_errors_of_all_files_come_together(tmp_path: Path) -> None:
    """Two wrong files are told at once, and two that claim one station as well."""
    written(tmp_path, GOOD.replace("version: 1", "version: x"), "a.yaml")
    written(tmp_path, GOOD.replace("deadline_ms: 5000", "deadline_ms: x"), "b.yaml")
    written(tmp_path, GOOD, "c.yaml")
    written(tmp_path, GOOD.replace("recipe_id: surface", "recipe_id: other"), "d.yaml")
    with pytest.raises(RecipeInvalid) as caught:
        RecipeBook(tmp_path)
    named = {(Path(str(error.file)).name, error.field) for error in caught.value.errors}
    assert named == {("a.yaml", "version"), ("b.yaml", "deadline_ms"), ("d.yaml", "station_id")}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """No recipe at all is a mistake of the installation, told at the start."""
    with pytest.raises(RecipeInvalid, match="no recipe"):
        RecipeBook(tmp_path)


def changed(path: Path, text: str) -> None:
    """Writes the file with a modification time of its own, however coarse the disk's clock is."""
    later = path.stat().st_mtime_ns + 1_000_000
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(later, later))


def test_a_changed_file_is_loaded_and_a_wrong_one_leaves_the_old_in_force(tmp_path: Path) -> None:
    """An edit takes effect at the next look; a mistake in it is told once and stops nothing."""
    path = written(tmp_path, GOOD)
    book = RecipeBook(tmp_path)
    assert not book.reload_if_changed()
    changed(path, GOOD.replace("version: 1", "version: 2"))
    assert book.reload_if_changed()
    assert book.get("surface").version == 2
    changed(path, GOOD.replace("version: 1", "version: three"))
    with pytest.raises(RecipeInvalid):
        book.reload_if_changed()
    assert not book.reload_if_changed()
    assert book.get("surface").version == 2


@pytest.mark.parametrize(
    "text",
    [
        "recipe_id: " + "[" * 3000 + "]" * 3000,
        "recipe_id: &again [*again]\n",
        "recipe_id: &again {more: *again}\n",
        "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
        + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefgh")),
        GOOD + 'golden: ["good\\0.png"]\n',
    ],
    ids=[
        "nested 3,000 deep",
        "a list in itself",
        "a mapping in itself",
        "anchors that multiply",
        "a NUL in a name",
    ],
)
def test_a_recipe_that_no_reader_expects_is_refused_like_any_wrong_one(tmp_path: Path, text: str) -> None:
    """The error is the recipe's, so the recipes that were loaded stay in force."""
    written(tmp_path, GOOD, "first.yaml")
    book = RecipeBook(tmp_path)
    written(tmp_path, text, "odd.yaml")
    with pytest.raises(RecipeInvalid) as caught:
        book.reload_if_changed()
    assert {Path(each.file or "").name for each in caught.value.errors} == {"odd.yaml"}
    assert [recipe.recipe_id for recipe in book.recipes] == ["surface"]


def test_a_recipe_in_a_loop_of_links_is_refused_like_any_wrong_one(tmp_path: Path) -> None:
    """It cannot be looked at, let alone read."""
    written(tmp_path, GOOD, "first.yaml")
    book = RecipeBook(tmp_path)
    (tmp_path / "odd.yaml").symlink_to(tmp_path / "odd.yaml")
    with pytest.raises(RecipeInvalid, match="odd.yaml"):
        book.reload_if_changed()
