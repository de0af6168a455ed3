"""The check says what a folder holds and names everything wrong with it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.teach.data import CheckOptions, CheckReport, check_folder, checked
from services.teach.data.duplicates import near_copies
from services.teach.data.page import check_page
from tests.teach.conftest import class_folders, pictures


def codes(report: CheckReport) -> dict[str, int]:
    """How many findings of each kind there are."""
    return {code: count for _, code, count in report.kinds()}


def part(seed: int, side: int = 96) -> Image.Image:
    """A smooth surface of its own for each seed."""
    noise = np.random.default_rng(seed).integers(40, 220, (12, 12), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def test_every_real_data_set_is_read(shared_data: Path) -> None:
    """Layout and count of all seven, as their README has them."""
    expected = {
        "cookies": ("class folders", 85),
        "aliens": ("class folders", 118),
        "bsdata": ("labelme", 345),
        "deeppcb": ("golden pairs", 1100),
        "neu": ("VOC", 1440),
    }
    for name, (layout, count) in expected.items():
        report = check_folder(shared_data / name, CheckOptions(unlabelled="good"))
        assert (report.layout, report.pictures, report.errors) == (layout, count, 0), name


def test_all_test_pictures_of_mcbt_are_copies_of_training_ones(shared_data: Path) -> None:
    """The 35 good ones byte for byte, the 35 defects stored in another format."""
    report = check_folder(shared_data / "mcbt")

    assert (report.copies.exact_pictures, report.copies.near_pictures) == (35, 35)
    assert report.copies.across_splits == 70
    assert codes(report)["copy-across-splits"] == 70


@pytest.mark.parametrize("turn", [None, *Image.Transpose])
def test_a_copy_is_found_however_it_is_turned(turn: Image.Transpose | None) -> None:
    """Rotated and mirrored copies of a picture are near copies; other surfaces are not."""
    images = [part(1), part(2), part(3), part(1) if turn is None else part(1).transpose(turn)]
    thumbnails = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BOX)) for image in images])

    assert near_copies(thumbnails) == [[0, 3]]


def test_pictures_that_show_nothing_are_no_copies_of_each_other() -> None:
    """Two black frames have nothing to compare."""
    assert near_copies(np.zeros((2, 32, 32), np.uint8)) == []


def test_copies_are_grouped_and_contradictions_left_out(tmp_path: Path) -> None:
    """A picture stored twice stays on one side of a split; one under two labels is no example of either."""
    for label in ("good", "crack"):
        (tmp_path / label).mkdir()
        for number in range(5):
            part(number + (0 if label == "good" else 10)).save(tmp_path / label / f"{label}{number}.png")
    part(0).save(tmp_path / "good" / "again.jpg", quality=90)
    shutil.copy(tmp_path / "good" / "good4.png", tmp_path / "crack" / "same.png")

    result = checked(tmp_path, CheckOptions())

    assert codes(result.report) == {"copy-under-two-labels": 1, "copy": 1}
    assert result.report.errors == 1
    groups = {each.path.name: each.group for each in result.dataset.pictures}
    assert groups["again.jpg"] == groups["good0.png"] != groups["good1.png"]
    assert {"good4.png", "same.png"}.isdisjoint(groups)


def test_odd_files_are_named_one_by_one(tmp_path: Path) -> None:
    """Truncated, no image, 12 bits in 16, turned by EXIF, black: each by its own word, the rest is read."""
    class_folders(tmp_path)
    odd = tmp_path / "train" / "good"
    whole = pictures(7)[-1].read_bytes()
    (odd / "half.png").write_bytes(whole[: len(whole) // 2])
    (odd / "text.jpg").write_text("no picture")
    wide = np.random.default_rng(0).integers(0, 4096, (64, 64), dtype=np.uint16)
    Image.fromarray(wide).save(odd / "wide.png")
    turned = part(5)
    turned.getexif()[0x0112] = 6
    turned.save(odd / "turned.jpg", exif=turned.getexif())
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(odd / "black.png")

    report = check_folder(tmp_path)

    found = {each.code: each.file for each in report.findings if each.file}
    assert found["picture-dark"] == "train/good/black.png"
    assert found["twelve-in-sixteen-bit"] == found["sixteen-bit"] == "train/good/wide.png"
    assert found["exif-rotation"] == "train/good/turned.jpg"
    assert codes(report)["picture-corrupt"] == 2
    assert report.readable == report.pictures - 2


def test_a_class_with_two_pictures_is_named(tmp_path: Path) -> None:
    """With how many it takes."""
    for label, count in (("good", 6), ("crack", 2)):
        (tmp_path / label).mkdir()
        for number in range(count):
            part(number + 10 * count).save(tmp_path / label / f"{number}.png")

    (finding,) = [each for each in check_folder(tmp_path).findings if each.code == "few-pictures"]

    assert "'crack' has 2 pictures" in finding.detail
    assert "20 can be measured" in finding.hint


def test_a_group_in_two_splits_is_named(tmp_path: Path) -> None:
    """The same part photographed for training and for the test."""
    for split in ("train", "test"):
        (tmp_path / split / "good").mkdir(parents=True)
        for number in range(5):
            part(number + (0 if split == "train" else 10)).save(
                tmp_path / split / "good" / f"part{number}_{split}.png"
            )

    assert codes(check_folder(tmp_path))["group-in-two-splits"] == 5


def test_a_name_that_is_no_unicode_does_not_stop_the_check(tmp_path: Path) -> None:
    """A file name in Latin-1 from an old share; report and page stay writable."""
    class_folders(tmp_path)
    part(1).save(str(tmp_path / "train" / "good") + "/gr\udcf6\udcdfe.png")

    report = check_folder(tmp_path)

    assert codes(report)["name-not-unicode"] == 1
    assert report.model_dump_json().encode()
    assert check_page(report).encode()


def test_the_page_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    """A class named like markup is text; no address of another machine is in the page."""
    class_folders(tmp_path)
    (tmp_path / "train" / "<b>crack").mkdir()
    part(1).save(tmp_path / "train" / "<b>crack" / "a.png")

    page = check_page(check_folder(tmp_path))

    assert "<b>crack" not in page
    assert "&lt;b&gt;crack" in page
    assert "http" not in page.replace("http-equiv", "")
