"""Seven layouts are recognised, and what is wrong in a label file is named with its line."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from services.teach.data import Finding, is_good, read_folder
from services.teach.data.groups import day_in, grouping
from services.teach.errors import FolderInvalid, TeachingError
from tests.teach.conftest import class_folders, coco, labelme, pictures, table, voc, yolo


def found(findings: tuple[Finding, ...], code: str) -> list[tuple[str, int | None]]:
    """File name and line of every finding of a kind."""
    return [(each.file.name if each.file else "", each.line) for each in findings if each.code == code]


def test_each_layout_is_recognised_and_read_whole(layout: tuple[str, Path]) -> None:
    """Its name, six pictures, two classes, and nothing to complain about."""
    name, root = layout
    dataset = read_folder(root)

    assert dataset.layout == name
    assert len(dataset.pictures) == 6
    assert {is_good(each) for each in dataset.classes} == {True, False}
    assert dataset.classes[1] == "crack"
    assert dataset.findings == ()


def test_splits_of_the_folder_are_understood(tmp_path: Path) -> None:
    """`train` and `test` above the class folders."""
    class_folders(tmp_path)
    assert [each.split for each in read_folder(tmp_path).pictures].count("test") == 2


def test_the_largest_area_names_a_picture_with_two_kinds(tmp_path: Path) -> None:
    """A box of 20 % a side beats one of 5 %."""
    yolo(tmp_path)
    bad = [each for each in read_folder(tmp_path).pictures if each.boxes]
    assert {each.label for each in bad} == {"crack"}
    assert {len(each.boxes) for each in bad} == {2}


@pytest.mark.parametrize("build", [coco, yolo, voc, labelme, table])
def test_a_label_without_its_picture_is_named(tmp_path: Path, build: object) -> None:
    """The label file stands in the finding; the other five pictures are read."""
    assert callable(build)
    build(tmp_path)
    next((tmp_path / "images").glob("*.png")).unlink()

    dataset = read_folder(tmp_path)

    assert len(found(dataset.findings, "label-without-picture")) == 1
    assert len(dataset.pictures) == 5


@pytest.mark.parametrize("build", [coco, yolo, voc, labelme, table])
def test_a_picture_without_its_label_is_left_out_unless_it_is_said_what_it_is(
    tmp_path: Path, build: object
) -> None:
    """A forgotten defect must not become a good part by itself."""
    assert callable(build)
    build(tmp_path)
    shutil.copy(pictures(7)[-1], tmp_path / "images" / "new.png")

    left_out, taken = read_folder(tmp_path), read_folder(tmp_path, unlabelled="good")

    assert found(left_out.findings, "picture-without-label") == [("new.png", None)]
    assert len(left_out.pictures) == 6
    assert len(taken.pictures) == 7
    assert taken.findings == ()


def test_a_wrong_line_of_a_csv_is_named(tmp_path: Path) -> None:
    """Line 3 names a file that is not there, line 5 no class."""
    table(tmp_path)
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    lines[2] = "images/nowhere.png;ok;train;1"
    lines[4] = lines[4].replace(";crack;", ";;")
    (tmp_path / "labels.csv").write_text("\n".join(lines))

    findings = read_folder(tmp_path).findings

    assert found(findings, "label-without-picture") == [("labels.csv", 3)]
    assert found(findings, "label-missing") == [("labels.csv", 5)]


@pytest.mark.parametrize(
    ("line", "word"),
    [("5 0.5 0.5 0.2 0.2", "no name"), ("1 0.5 0.5", "3 numbers"), ("1 50 50 20 20", "outside 0 to 1")],
)
def test_a_wrong_line_of_yolo_is_named(tmp_path: Path, line: str, word: str) -> None:
    """An unknown class, too few numbers, pixels instead of fractions."""
    yolo(tmp_path)
    wrong = max((tmp_path / "labels").glob("*.txt"))
    wrong.write_text(f"1 0.5 0.5 0.2 0.2\n{line}\n")

    findings = read_folder(tmp_path).findings

    assert found(findings, "label-unreadable") == [(wrong.name, 2)]
    assert word in findings[0].detail


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    """One labelme file that ends too early; the five others are read."""
    labelme(tmp_path)
    wrong = min((tmp_path / "images").glob("*.json"))
    wrong.write_text('{"shapes": [\n{"label": "crack",\n')

    dataset = read_folder(tmp_path)

    assert found(dataset.findings, "label-unreadable") == [(wrong.name, 3)]
    assert len(dataset.pictures) == 5


def test_broken_xml_is_named_with_its_line(tmp_path: Path) -> None:
    """A tag that is never closed."""
    voc(tmp_path)
    wrong = min((tmp_path / "Annotations").glob("*.xml"))
    wrong.write_text("<annotation>\n<filename>x.png</filename>\n<object>\n</annotation>")

    assert found(read_folder(tmp_path).findings, "label-unreadable") == [(wrong.name, 4)]


def test_an_annotation_of_an_unlisted_image_is_named(tmp_path: Path) -> None:
    """COCO ids that lead nowhere."""
    coco(tmp_path)
    path = tmp_path / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["image_id"] = 99
    path.write_text(json.dumps(content, indent=1))

    dataset = read_folder(tmp_path)

    ((file, line),) = found(dataset.findings, "label-without-picture")
    assert (file, line) == ("annotations.json", 1 + path.read_text().splitlines().index('   "image_id": 99,'))
    assert len(dataset.pictures) == 6


def test_names_are_compared_as_unicode_means_them(tmp_path: Path) -> None:
    """A label file with a composed letter, a disk with a decomposed one."""
    table(tmp_path)
    name = "Gehäuse-größe.png"
    shutil.copy(pictures(7)[-1], tmp_path / "images" / unicodedata.normalize("NFD", name))
    with (tmp_path / "labels.csv").open("a", encoding="utf-8") as file:
        file.write(f"images/{name};Kratzer;train;9\n")

    dataset = read_folder(tmp_path)

    assert dataset.findings == ()
    assert "Kratzer" in dataset.classes


def test_groups_come_from_columns_names_and_patterns(tmp_path: Path) -> None:
    """The lot of a CSV, a part number or a day in a file name, or a pattern that a person gives."""
    table(tmp_path / "table")
    (tmp_path / "names" / "good").mkdir(parents=True)
    for number, path in enumerate(pictures(6)):
        shutil.copy(path, tmp_path / "names" / "good" / f"part{number // 2}_{number}.png")

    assert grouping(read_folder(tmp_path / "table").pictures).groups == 3
    assert grouping(read_folder(tmp_path / "names").pictures).by == "part"
    by_end = read_folder(tmp_path / "names", r"_(\d)\.png")
    assert grouping(by_end.pictures).groups == 6
    assert day_in("01_200828110014_277500_315_crop_2") == "2020-08-28"
    assert day_in("12345678901234567890") is None


@pytest.mark.parametrize("name", ["hidden", "anomaly-3", "partial", "solid2", "width 12"])
def test_a_word_that_only_sounds_like_a_part_makes_no_group(tmp_path: Path, name: str) -> None:
    """`hidden` holds `id`, and is the number of nothing."""
    (tmp_path / "good").mkdir()
    shutil.copy(pictures(1)[0], tmp_path / "good" / f"{name}.png")
    assert read_folder(tmp_path).pictures[0].group is None


@pytest.mark.parametrize("pattern", ["(", "lot(x+)"])
def test_a_useless_group_pattern_is_refused(tmp_path: Path, pattern: str) -> None:
    """No regular expression, and one that matches no name."""
    class_folders(tmp_path)
    with pytest.raises(TeachingError) as refused:
        read_folder(tmp_path, pattern)
    assert refused.value.errors[0].field == "--group"


def test_a_folder_without_pictures_or_classes_is_refused(tmp_path: Path) -> None:
    """Nothing there, no pictures, and pictures that nothing names."""
    for build in (
        lambda: None,
        (tmp_path / "a.txt").touch,
        lambda: shutil.copy(pictures(1)[0], tmp_path),
    ):
        build()
        with pytest.raises(FolderInvalid) as refused:
            read_folder(tmp_path)
        assert refused.value.hint
    with pytest.raises(FolderInvalid):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("word", ["good", "OK", "Normal", "no_defect", "defect-free", "i.O."])
def test_words_for_good_are_understood(word: str) -> None:
    """Whatever case and punctuation a plant uses."""
    assert is_good(word)
    assert not is_good(f"not {word}")
