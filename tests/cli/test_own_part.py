"""The commands of a plant's own part, as a person types them."""

import json
import shutil
from pathlib import Path

import pytest

from services.cli.places import RECIPES, SAMPLES
from tests.cli.conftest import Lynceus

COOKIES = str(SAMPLES / "cookies")


def test_a_folder_is_checked_and_its_page_written(lynceus: Lynceus, tmp_path: Path) -> None:
    """Layout, classes and copies in words; the same as JSON; a page that loads nothing."""
    spoken = lynceus("data", "check", COOKIES, "--html", "check.html")
    written = lynceus("data", "check", COOKIES, "--json")

    assert spoken.exit_code == 0
    assert "class folders: 62 of 62" in spoken.output
    assert json.loads(written.output)["layout"] == "class folders"
    assert (tmp_path / "check.html").read_text().startswith("<!doctype html>")


def test_a_corrupt_picture_fails_the_check(lynceus: Lynceus, tmp_path: Path) -> None:
    """Exit code 1, the file's name, and no stack trace."""
    shutil.copytree(SAMPLES / "cookies" / "test", tmp_path / "mine")
    (tmp_path / "mine" / "good" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")

    result = lynceus("data", "check", "mine")

    assert result.exit_code == 1
    assert "good/broken.png" in result.output
    assert "checks-failed" in result.messages
    assert "Traceback" not in result.messages


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("data", "check", "nowhere"), ("folder-invalid", "is not a folder")),
        (("train", "nowhere", "--recipe", "part"), ("folder-invalid", "nowhere")),
        (("train", COOKIES, "--recipe", "my part"), ("--recipe", "cannot be a name")),
        (("evaluate", COOKIES, "--recipe", "nothing"), ("unknown-recipe", "use one of: ball-screw")),
        (("calibrate", COOKIES, "--recipe", "surface"), ("input-invalid", "--max-escape")),
        (
            ("calibrate", COOKIES, "--recipe", "surface", "--max-escape", "5"),
            ("--max-escape", "such as 0.5%"),
        ),
        (("recipe", "rollback", "surface", "abc"), ("DIGEST", "use one of: none")),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(
    lynceus: Lynceus, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Before anything is taught or written."""
    shutil.copytree(RECIPES, tmp_path / "recipes")
    own = () if arguments[0] == "data" else ("--recipes", "recipes")

    result = lynceus(*arguments, *own)

    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.messages
    assert all(word in result.messages for word in (*words, "hint:"))
    assert not (tmp_path / "recipes" / "taught").exists()


@pytest.mark.slow
def test_the_guide_followed_literally_ends_with_a_guarded_recipe(lynceus: Lynceus, tmp_path: Path) -> None:
    """Teach, measure, be refused 0.5 %, calibrate to what 28 bad parts carry, look at the history."""
    shutil.copytree(RECIPES, tmp_path / "recipes")
    own = ("--recipe", "cookies", "--recipes", "recipes")

    taught = lynceus("train", COOKIES, *own, "--part", "biscuit", "--minutes", "0.1", "--html", "train.html")
    measured = lynceus("evaluate", f"{COOKIES}/test", *own, "--html", "evaluation.html", "--json")
    refused = lynceus("calibrate", COOKIES, *own, "--max-escape", "0.5%")
    set_ = lynceus("calibrate", COOKIES, *own, "--max-escape", "11%", "--max-overkill", "10%")
    history = lynceus("recipe", "history", "cookies", "--recipes", "recipes")

    assert "version 1, assisting" in taught.output
    assert json.loads(measured.output)["balanced_accuracy"] >= 0.95
    assert refused.exit_code == 1
    assert "598 bad parts" in refused.messages
    assert "version 2, guarded" in set_.output
    assert "guarded" in history.output
    assert (tmp_path / "evaluation.html").read_text().count("<svg") == 3
