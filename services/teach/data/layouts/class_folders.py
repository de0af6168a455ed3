"""Class folders: `good/`, `crack/`, each full of pictures, with or without `train/` and `test/` above."""

from pathlib import Path

from services.teach.data.pictures import Dataset, Finding, Level, Picture, split_of
from services.teach.data.tree import Tree

NAME = "class folders"


def fits(tree: Tree) -> bool:
    """Whether some picture lies in a folder that is not just a split."""
    return any(_label(tree, path) is not None for path in tree.pictures)


def read(tree: Tree) -> Dataset:
    """Each picture under the name of its class folder; loose pictures are left out and named."""
    pictures, findings = [], []
    for path in tree.pictures:
        label = _label(tree, path)
        if label is None:
            findings.append(_loose(path))
        else:
            pictures.append(Picture(path, label, tree.split(path), mask=tree.mask_of(path)))
    return Dataset(tree.root, NAME, tuple(pictures), tuple(findings))


def _label(tree: Tree, path: Path) -> str | None:
    """The first folder below the root that is neither a split nor called images."""
    kept = [name for name in tree.folders(path) if split_of(name) is None and name.lower() != "images"]
    return kept[0] if kept else None


def _loose(path: Path) -> Finding:
    detail = "lies in no class folder; it is left out"
    return Finding(
        Level.WARNING, "picture-without-label", detail, "move it into the folder of its class", path
    )
