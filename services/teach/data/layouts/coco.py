"""COCO: JSON files with `images`, `annotations` and `categories`, one for each split (Lin et al. 2014)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from services.teach.data.pictures import Box, Dataset, Finding, Level, Picture, main_label, split_of
from services.teach.data.text import Parsed, read_json
from services.teach.data.tree import Names, Tree, line_of, without_label, without_picture

NAME = "COCO"
KEYS = frozenset({"images", "annotations", "categories"})
HEAD_BYTES = 4_000_000


def fits(tree: Tree) -> bool:
    """Whether some JSON file speaks of images, annotations and categories."""
    return any(_speaks_coco(path) for path in tree.with_suffix(".json"))


def read(tree: Tree) -> Dataset:
    """Every image that a file lists; one without annotations is good."""
    names = Names(tree)
    pictures: list[Picture] = []
    findings: list[Finding] = []
    for path in tree.with_suffix(".json"):
        if _speaks_coco(path):
            parsed = read_json(path)
            findings += parsed.findings
            more, wrong = _read_one(path, parsed, tree, names)
            pictures += more
            findings += wrong
    findings += without_label(names.unused())
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _read_one(path: Path, parsed: Parsed, tree: Tree, names: Names) -> tuple[list[Picture], list[Finding]]:
    content = parsed.content if isinstance(parsed.content, dict) else {}
    categories = {each.get("id"): str(each.get("name")) for each in content.get("categories", [])}
    listed = {each.get("id"): each for each in content.get("images", [])}
    boxes, findings = _boxes(path, parsed.text, content.get("annotations", []), categories, listed)
    pictures = []
    for number, image in listed.items():
        name = str(image.get("file_name", ""))
        line = line_of(parsed.text, json.dumps(name)) or line_of(parsed.text, name)
        found = names.find(name, path.parent)
        if found is None:
            findings.append(without_picture(name, path, line))
            continue
        own = tuple(boxes.get(number, ()))
        split = tree.split(found) or _split_in_name(path)
        pictures.append(Picture(found, main_label(own), split, boxes=own, place=(path, line)))
    return pictures, findings


def _boxes(
    path: Path, text: str, annotations: list[Any], categories: dict[Any, str], listed: dict[Any, Any]
) -> tuple[dict[Any, list[Box]], list[Finding]]:
    boxes: dict[Any, list[Box]] = defaultdict(list)
    findings: list[Finding] = []
    for each in annotations:
        label, box = categories.get(each.get("category_id")), each.get("bbox")
        wrong = None
        if each.get("image_id") not in listed:
            wrong = f"annotation {each.get('id')} is of image {each.get('image_id')}, which is not listed"
        elif label is None:
            wrong = f"annotation {each.get('id')} has the unknown category {each.get('category_id')}"
        elif not isinstance(box, list) or len(box) != 4:
            wrong = f"annotation {each.get('id')} has no box of four numbers"
        if wrong is not None or label is None:
            line = line_of(text, f'"image_id": {each.get("image_id")}')
            hint = "correct the ids, or take the annotation out"
            findings.append(Finding(Level.ERROR, "label-without-picture", str(wrong), hint, path, line))
            continue
        left, top, width, height = (float(value) for value in box)
        boxes[each["image_id"]].append(Box(label, left, top, left + width, top + height))
    return boxes, findings


def _speaks_coco(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0, 2)
        file.seek(max(file.tell() - HEAD_BYTES, 0))
        text = head + file.read(HEAD_BYTES)
    return all(f'"{key}"'.encode() in text for key in KEYS)


def _split_in_name(path: Path) -> str | None:
    words = path.stem.lower().replace("-", "_").replace("2017", "").replace(".", "_").split("_")
    return next((found for word in words if (found := split_of(word))), None)
