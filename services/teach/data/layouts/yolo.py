"""YOLO: a text file a picture, lines `class x y width height` in fractions, and names in data.yaml."""

from pathlib import Path
from typing import Any

import yaml

from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, main_label, same_name
from services.teach.data.text import read_text
from services.teach.data.tree import Names, Tree, without_label, without_picture

NAME = "YOLO"
NOT_LABELS = frozenset({"classes", "obj", "readme", "notes", "train", "test", "val", "valid"})
"""Stems of text files that hold class names or lists."""


def fits(tree: Tree) -> bool:
    """Whether a YAML file gives class names, or a folder `labels` holds text files."""
    named = any(_names_in(path) for path in tree.with_suffix(".yaml", ".yml"))
    return named or any("labels" in map(str.lower, tree.folders(path)) for path in tree.with_suffix(".txt"))


def read(tree: Tree) -> Dataset:
    """Every picture that has a text file, an empty one meaning good."""
    classes, names = _classes(tree), Names(tree)
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for path in tree.with_suffix(".txt"):
        if path.stem.lower() in NOT_LABELS or path.stem.lower().startswith("readme"):
            continue
        found = names.find(same_name(path.stem), path.parent)
        if found is None:
            findings.append(without_picture(path.stem, path, None))
            continue
        boxes, wrong = _boxes(path, classes)
        findings += wrong
        if not wrong:
            place = (path, 1 if boxes else None)
            pictures.append(Picture(found, main_label(boxes), tree.split(found), boxes=boxes, place=place))
    findings += [
        Finding(
            each.level, each.code, each.detail, "put an empty .txt beside a good one, or label it", each.file
        )
        for each in without_label(names.unused())
    ]
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _boxes(path: Path, classes: dict[int, str]) -> tuple[tuple[Box, ...], list[Finding]]:
    text, findings = read_text(path)
    boxes = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            boxes.append(_box(line.split(), classes))
        except ValueError as error:
            hint = "write `class x y width height`, the numbers in fractions from 0 to 1"
            findings.append(Finding(Level.ERROR, "label-unreadable", str(error), hint, path, number))
    return tuple(boxes), findings


def _box(words: list[str], classes: dict[int, str]) -> Box:
    """One line: five numbers are a box, an odd count from seven on is a polygon."""
    if len(words) < 5 or (len(words) > 5 and len(words) % 2 == 0):
        raise ValueError(f"the line has {len(words)} numbers")
    index, values = int(words[0]), [float(word) for word in words[1:]]
    if classes and index not in classes:
        raise ValueError(f"class {index} has no name; there are {len(classes)}")
    if not all(-0.001 <= value <= 1.001 for value in values):
        raise ValueError("a number lies outside 0 to 1")
    label = classes.get(index, f"class-{index}")
    if len(values) == 4:
        x, y, width, height = values
        return Box(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    across, down = values[::2], values[1::2]
    return Box(label, min(across), min(down), max(across), max(down))


def _classes(tree: Tree) -> dict[int, str]:
    for path in tree.with_suffix(".yaml", ".yml"):
        if found := _names_in(path):
            return found
    for path in tree.with_suffix(".txt"):
        if path.stem.lower() in {"classes", "obj"}:
            return dict(enumerate(filter(None, map(str.strip, read_text(path)[0].splitlines()))))
    return {}


def _names_in(path: Path) -> dict[int, str]:
    try:
        content: Any = yaml.safe_load(read_text(path)[0])
    except yaml.YAMLError:
        return {}
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return {index: str(name) for index, name in enumerate(names)}
    return {int(index): str(name) for index, name in names.items()} if isinstance(names, dict) else {}
