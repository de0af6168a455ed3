"""labelme: a JSON file a picture with polygons and rectangles under `shapes`."""

from pathlib import Path
from typing import Any

from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, main_label
from services.teach.data.text import Parsed, read_json
from services.teach.data.tree import Names, Tree, line_of, without_label, without_picture

NAME = "labelme"
HEAD_BYTES = 4096


def fits(tree: Tree) -> bool:
    """Whether some JSON file begins with shapes."""
    return any(_speaks_labelme(path) for path in tree.with_suffix(".json"))


def read(tree: Tree) -> Dataset:
    """Every picture that has a JSON file, one without shapes being good."""
    names = Names(tree)
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for path in tree.with_suffix(".json"):
        if not _speaks_labelme(path):
            continue
        parsed = read_json(path)
        findings += parsed.findings
        name = str(parsed.content.get("imagePath") or "") if isinstance(parsed.content, dict) else ""
        found = names.find(path.stem, path.parent) or (names.find(name, path.parent) if name else None)
        if found is None:
            findings.append(without_picture(name or path.stem, path, line_of(parsed.text, '"imagePath"')))
            continue
        if parsed.findings:
            continue
        boxes, wrong = _boxes(path, parsed)
        findings += wrong
        if not wrong:
            place = (path, line_of(parsed.text, '"label"'))
            pictures.append(Picture(found, main_label(boxes), tree.split(found), boxes=boxes, place=place))
    findings += without_label(names.unused())
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _boxes(path: Path, parsed: Parsed) -> tuple[tuple[Box, ...], list[Finding]]:
    boxes, findings = [], []
    for shape in parsed.content.get("shapes", []):
        try:
            boxes.append(_box(shape))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            line = line_of(parsed.text, '"shapes"')
            detail = f"a shape has no label or points: {error!r}"
            hint = "draw it again in labelme"
            findings.append(Finding(Level.ERROR, "label-unreadable", detail, hint, path, line))
    return tuple(boxes), findings


def _box(shape: dict[str, Any]) -> Box:
    across = [float(point[0]) for point in shape["points"]]
    down = [float(point[1]) for point in shape["points"]]
    return Box(str(shape["label"]), min(across), min(down), max(across), max(down))


def _speaks_labelme(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return b'"shapes"' in head
