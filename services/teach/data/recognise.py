"""Which layout a folder has, and its labelled pictures."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from services.teach.data.groups import with_groups
from services.teach.data.layouts import class_folders, coco, labelme, mvtec, pairs, table, voc, yolo
from services.teach.data.pictures import Dataset, Picture
from services.teach.data.tree import Tree, walk
from services.teach.errors import FolderInvalid

LAYOUTS: tuple[ModuleType, ...] = (coco, voc, labelme, yolo, pairs, table, mvtec, class_folders)
"""In the order they are tried: label files say more than folders do."""


def read_folder(root: Path, group_pattern: str | None = None, unlabelled: str | None = None) -> Dataset:
    """The pictures of a folder in whichever layout it has, with the group of each.

    `group_pattern` is a regular expression for the file name; what its groups match must not be torn apart.
    `unlabelled` is the label of pictures that no label file names; without it they are left out.
    Raises FolderInvalid when no layout fits or no picture has a label.
    """
    tree = walk(root)
    layout = next((each for each in LAYOUTS if each.fits(tree)), None)
    if layout is None:
        raise FolderInvalid.of(
            "DIR",
            root,
            "has pictures, and neither class folders nor label files",
            "make one folder a class, such as good/ and crack/, or add a CSV with the columns file and label",
        )
    dataset: Dataset = layout.read(tree)
    if unlabelled is not None:
        dataset = _with_unlabelled(dataset, tree, unlabelled)
    if not dataset.pictures:
        first = dataset.findings[0].detail if dataset.findings else "no label names a picture"
        raise FolderInvalid.of(
            "DIR", root, f"is {dataset.layout} without one usable picture: {first}", "see docs/own-part.md"
        )
    return with_groups(dataset, group_pattern)


def _with_unlabelled(dataset: Dataset, tree: Tree, label: str) -> Dataset:
    bare = [each.file for each in dataset.findings if each.code == "picture-without-label" and each.file]
    added = tuple(Picture(path, label, tree.split(path)) for path in bare)
    left = tuple(each for each in dataset.findings if each.code != "picture-without-label")
    return replace(dataset, pictures=(*dataset.pictures, *added), findings=left)
