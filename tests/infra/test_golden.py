"""Golden images: found beside the recipe, part of its digest, and refused like any other wrong value."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.infra.intake import RecipeBook, golden, images, load_recipe
from services.infra.process.errors import RecipeInvalid
from tests.infra.test_recipes import GOOD, changed, written

WITH_GOLDEN = GOOD + "golden:\n  - golden/first.png\n  - golden/second.png\n"


def picture(seed: int, height: int = 40, width: int = 60) -> bytes:
    """A noisy picture as PNG; each seed makes another one."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return images.encode_png(pixels)


def flat(height: int, width: int) -> bytes:
    """A grey picture as PNG: many pixels, few bytes."""
    return images.encode_png(np.full((height, width, 3), 128, np.uint8))


def with_pictures(folder: Path, first: bytes, second: bytes) -> Path:
    """A recipe with two golden images beside it."""
    (folder / "golden").mkdir(exist_ok=True)
    (folder / "golden" / "first.png").write_bytes(first)
    (folder / "golden" / "second.png").write_bytes(second)
    return written(folder, WITH_GOLDEN)


def test_golden_images_are_read_in_their_order(tmp_path: Path) -> None:
    """The pixels come as they are listed, and the recipe then holds the digest of each file."""
    recipe = load_recipe(with_pictures(tmp_path, picture(1), picture(2)))
    first, second = RecipeBook(tmp_path).golden_pixels(recipe)
    assert [image.digest for image in recipe.golden] == [
        hashlib.sha256(picture(seed)).hexdigest() for seed in (1, 2)
    ]
    assert np.array_equal(first, images.decode(picture(1)))
    assert np.array_equal(second, images.decode(picture(2)))


def test_a_recipe_without_golden_images_has_none(tmp_path: Path) -> None:
    """They are an offer, no duty."""
    recipe = load_recipe(written(tmp_path, GOOD))
    assert recipe.golden == ()
    assert RecipeBook(tmp_path).golden_pixels(recipe) == ()


def test_another_picture_makes_another_recipe(tmp_path: Path) -> None:
    """The digest that every result carries covers the bytes of the golden images."""
    before = load_recipe(with_pictures(tmp_path, picture(1), picture(2)))
    after = load_recipe(with_pictures(tmp_path, picture(1), picture(3)))
    assert before.version == after.version
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("damage", "detail", "hint"),
    [
        (Path.unlink, "cannot be read: No such file", "put the image there"),
        (lambda path: path.write_bytes(b"no image"), "none of PNG", "send a PNG"),
        (lambda path: path.write_bytes(picture(1)[:300]), "before its last pixel", "complete"),
        (lambda path: path.write_bytes(b""), "0 bytes", "content"),
        (lambda path: path.write_bytes(flat(2001, 2000)), "2000 x 2001 pixels", "scale or compress"),
        (lambda path: path.write_bytes(bytes(golden.MAX_GOLDEN_BYTES + 1)), "10000001 bytes", "scale"),
    ],
    ids=["missing", "no image", "cut off", "empty", "too many pixels", "too many bytes"],
)
def test_a_wrong_golden_image_is_named_with_its_line_and_hint(
    tmp_path: Path, damage: Callable[[Path], object], detail: str, hint: str
) -> None:
    """Its error reads like that of any wrong value: file, line, field, value and what to do."""
    path = with_pictures(tmp_path, picture(1), picture(2))
    damage(tmp_path / "golden" / "second.png")
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(path)
    [error] = caught.value.errors
    assert (error.file, error.line, error.field) == (str(path), 19, "golden.1")
    assert error.value == "golden/second.png"
    assert detail in error.detail
    assert hint in error.hint


def test_a_digest_in_the_file_must_be_the_images(tmp_path: Path) -> None:
    """Who writes the digest down pins the picture."""
    (tmp_path / "first.png").write_bytes(picture(1))
    digest = hashlib.sha256(picture(1)).hexdigest()
    text = GOOD + f"golden:\n  - file: first.png\n    digest: {digest}\n"
    assert load_recipe(written(tmp_path, text)).golden[0].digest == digest
    with pytest.raises(RecipeInvalid, match="the recipe speaks of abab"):
        load_recipe(written(tmp_path, text.replace(digest, "ab" * 32)))


def test_a_path_outside_the_recipes_folder_is_refused(tmp_path: Path) -> None:
    """A recipe speaks of its own folder only, wherever that is mounted."""
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(written(tmp_path, GOOD + "golden: [../secret.png]\n"))
    [error] = caught.value.errors
    assert (error.line, error.value) == (17, "../secret.png")
    assert "without `..`" in error.hint


def test_a_repainted_golden_image_is_taken_up(tmp_path: Path) -> None:
    """Only the picture changed, not a letter of the recipe: the next look finds it all the same."""
    with_pictures(tmp_path, picture(1), picture(2))
    book = RecipeBook(tmp_path)
    before = book.get("surface")
    image = tmp_path / "golden" / "first.png"
    later = image.stat().st_mtime_ns + 1_000_000
    image.write_bytes(picture(4))
    os.utime(image, ns=(later, later))
    with pytest.raises(RecipeInvalid, match="the recipe speaks of"):
        book.golden_pixels(before)
    assert book.reload_if_changed()
    assert book.get("surface").digest != before.digest


def test_a_golden_image_that_goes_leaves_the_recipe_in_force(tmp_path: Path) -> None:
    """A mistake in the folder is told once and stops nothing; the file's return is noticed."""
    path = with_pictures(tmp_path, picture(1), picture(2))
    book = RecipeBook(tmp_path)
    (tmp_path / "golden" / "first.png").unlink()
    with pytest.raises(RecipeInvalid):
        book.reload_if_changed()
    assert book.get("surface").version == 1
    (tmp_path / "golden" / "first.png").write_bytes(picture(1))
    changed(path, WITH_GOLDEN.replace("version: 1", "version: 2"))
    assert book.reload_if_changed()
    assert book.get("surface").version == 2
