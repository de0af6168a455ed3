"""CSV: one line a picture, with columns for file and label and, if wished, split, group and golden."""

import csv
import io
import re
from pathlib import Path

from services.teach.data.pictures import Dataset, Finding, Level, Picture, split_of
from services.teach.data.text import read_text
from services.teach.data.tree import Names, Tree, without_label, without_picture

NAME = "CSV"
FILE_COLUMNS = ("file", "path", "image", "filename", "file_name", "image_path", "picture", "img")
LABEL_COLUMNS = ("label", "class", "category", "defect", "verdict", "target")
SPLIT_COLUMNS = ("split", "set", "subset")
PART_COLUMNS = ("part", "part_id", "serial")
GROUP_COLUMNS = ("group",)
LOT_COLUMNS = ("lot", "lot_id", "batch")
TIME_COLUMNS = ("time", "date", "timestamp", "captured_at")
CAMERA_COLUMNS = ("camera", "cam", "station")
GOLDEN_COLUMNS = ("golden", "template", "reference")


def fits(tree: Tree) -> bool:
    """Whether some CSV file has a column for the file and one for the label."""
    return any(_columns(path) for path in tree.with_suffix(".csv", ".tsv"))


def read(tree: Tree) -> Dataset:
    """Every picture that a line names."""
    names = Names(tree)
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for path in tree.with_suffix(".csv", ".tsv"):
        if _columns(path):
            more, wrong = _read_one(path, tree, names)
            pictures += more
            findings += wrong
    findings += without_label(names.unused())
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _read_one(path: Path, tree: Tree, names: Names) -> tuple[list[Picture], list[Finding]]:
    pictures: list[Picture] = []
    text, findings = read_text(path)
    reader = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    for row in reader:
        values = {str(key).strip().lower(): (value or "").strip() for key, value in row.items() if key}
        name, label = _first(values, FILE_COLUMNS), _first(values, LABEL_COLUMNS)
        found = names.find(name, path.parent) if name else None
        if found is None:
            findings.append(without_picture(name, path, reader.line_num))
        elif not label:
            hint = "write the class of this picture"
            detail = f"no label for {name!r}"
            findings.append(Finding(Level.ERROR, "label-missing", detail, hint, path, reader.line_num))
        else:
            golden = _first(values, GOLDEN_COLUMNS)
            pictures.append(
                Picture(
                    found,
                    label,
                    split_of(_first(values, SPLIT_COLUMNS)) or tree.split(found),
                    _group(values),
                    names.find(golden, path.parent) if golden else None,
                    tree.mask_of(found),
                    place=(path, reader.line_num),
                )
            )
    return pictures, findings


def _group(values: dict[str, str]) -> str | None:
    """The narrowest of what the columns give: the part, else the group, the lot, the day, the camera."""
    for word, columns in (("part", PART_COLUMNS), ("group", GROUP_COLUMNS), ("lot", LOT_COLUMNS)):
        if value := _first(values, columns):
            return f"{word} {value}"
    if day := re.match(r"\d{4}-?\d{2}-?\d{2}", _first(values, TIME_COLUMNS)):
        return f"day {day.group()}"
    camera = _first(values, CAMERA_COLUMNS)
    return f"camera {camera}" if camera else None


def _first(values: dict[str, str], columns: tuple[str, ...]) -> str:
    return next((values[name] for name in columns if values.get(name)), "")


def _columns(path: Path) -> bool:
    text = read_text(path)[0]
    head = next(csv.reader(io.StringIO(text), dialect=_dialect(text)), [])
    names = {name.strip().lower() for name in head}
    return bool(names & set(FILE_COLUMNS)) and bool(names & set(LABEL_COLUMNS))


def _dialect(text: str) -> type[csv.Dialect]:
    head = text.split("\n", 1)[0]

    class _Found(csv.excel):
        delimiter = max(",;\t", key=head.count)

    return _Found
