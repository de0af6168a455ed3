"""The pictures that ship: all there, labelled with classes of their recipes, half of them good."""

import json
from pathlib import Path

import pytest

from services.cli.demo.samples import load_samples
from services.cli.errors import InputInvalid
from services.cli.places import RECIPES, SAMPLES
from services.infra.intake import RecipeBook
from services.infra.intake.images import decode

LARGEST_FOLDER_BYTES = 3_000_000


def test_every_label_is_a_class_of_its_recipe_and_every_recipe_has_samples() -> None:
    """What the demo measures its accuracy against can be measured."""
    book = RecipeBook(RECIPES)
    samples = load_samples(SAMPLES)

    for sample in samples:
        assert sample.label in {kind.name for kind in book.get(sample.recipe_id).classes}, sample.file
    assert {sample.recipe_id for sample in samples} == {recipe.recipe_id for recipe in book.recipes}


def test_half_of_the_samples_are_good() -> None:
    """An accuracy over them is not won by always saying the same."""
    samples = load_samples(SAMPLES)

    assert sum(sample.label == "good" for sample in samples) * 2 == len(samples)


def test_every_picture_can_be_decoded_and_the_folder_is_small() -> None:
    """All through the one door for pixels."""
    pictures = [SAMPLES / sample.file for sample in load_samples(SAMPLES)]

    assert all(decode(picture.read_bytes()).shape[2] == 3 for picture in pictures)
    assert sum(picture.stat().st_size for picture in pictures) < LARGEST_FOLDER_BYTES


def test_every_source_is_named_in_the_notice() -> None:
    """Licences ask for it."""
    notice = (SAMPLES / "NOTICE").read_text(encoding="utf-8")

    for sample in load_samples(SAMPLES):
        assert Path(sample.file).parent.name + "/" in notice


def test_a_label_without_its_picture_is_refused(tmp_path: Path) -> None:
    """Before a demo starts, not in the middle."""
    entry = {"file": "a.png", "recipe_id": "surface", "label": "good", "source": "x", "licence": "x"}
    (tmp_path / "labels.json").write_text(json.dumps([entry]))

    with pytest.raises(InputInvalid, match=r"a\.png"):
        load_samples(tmp_path)


def test_an_unknown_field_in_the_labels_is_named(tmp_path: Path) -> None:
    """A typing error does not become a default."""
    (tmp_path / "labels.json").write_text(json.dumps([{"fil": "a.png"}]))

    with pytest.raises(InputInvalid, match="fil"):
        load_samples(tmp_path)
