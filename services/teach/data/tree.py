"""One walk through a folder: its pictures and its other files, in order."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services.teach.data.pictures import Finding, Level, is_picture, same_name, split_of
from services.teach.errors import FolderInvalid

MASK_FOLDERS = frozenset({"masks", "mask", "ground_truth"})
"""Folders of pictures that mark defects and are themselves no parts."""


@dataclass(frozen=True)
class Tree:
    """Every file below a folder, hidden ones left out."""

    root: Path
    files: tuple[Path, ...]

    @cached_property
    def pictures(self) -> tuple[Path, ...]:
        """The picture files that are not masks, in order."""
        return tuple(path for path in self.files if is_picture(path) and not self._is_mask(path))

    @cached_property
    def masks(self) -> dict[str, Path]:
        """The mask files by the stem of the picture they belong to, with its class folder before it."""
        found = (path for path in self.files if is_picture(path) and self._is_mask(path))
        return {f"{path.parent.name}/{same_name(path.stem).removesuffix('_mask')}": path for path in found}

    def mask_of(self, picture: Path) -> Path | None:
        """The mask of a picture, found by class folder and stem."""
        return self.masks.get(f"{picture.parent.name}/{same_name(picture.stem)}")

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """The files with one of these endings."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def folders(self, path: Path) -> tuple[str, ...]:
        """The folders between the root and a file."""
        return path.relative_to(self.root).parts[:-1]

    def split(self, path: Path) -> str | None:
        """The split that one of a file's folders names."""
        return next((found for name in self.folders(path) if (found := split_of(name))), None)

    def _is_mask(self, path: Path) -> bool:
        return any(name.lower() in MASK_FOLDERS for name in self.folders(path))


def walk(root: Path) -> Tree:
    """Every file below the folder. Raises FolderInvalid when it cannot be read or holds no picture."""
    if not root.is_dir():
        raise FolderInvalid.of("DIR", root, "is not a folder", "name the folder that holds the pictures")
    files = tuple(_files(root))
    if not any(is_picture(path) for path in files):
        raise FolderInvalid.of(
            "DIR",
            root,
            "holds no picture",
            "put PNG, JPEG, BMP, TIFF or WEBP files there, one folder a class",
        )
    return Tree(root, files)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)


class Names:
    """Finds a picture by the name that a label file gives it: as a path, or by file name or stem alone."""

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self._by_path = {same_name(str(path)): path for path in tree.pictures}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in tree.pictures:
            for key in {same_name(path.name), same_name(path.stem)}:
                self._by_name[key].append(path)
        self._used: set[Path] = set()

    def find(self, name: str, beside: Path) -> Path | None:
        """The picture a label file in folder `beside` means; the nearest one where a name stands twice."""
        written = Path(same_name(name.replace("\\", "/")))
        for base in (beside, self._root):
            found = self._by_path.get(os.path.normpath(base / written))
            if found is not None:
                return self._note(found)
        near = self._by_name.get(written.name) or self._by_name.get(written.stem) or []
        return self._note(max(near, key=lambda path: _common(path, beside))) if near else None

    def unused(self) -> list[Path]:
        """The pictures that no label file named."""
        return [path for path in self._by_path.values() if path not in self._used]

    def _note(self, path: Path) -> Path:
        self._used.add(path)
        return path


def _common(path: Path, folder: Path) -> int:
    """How many leading steps two paths share; siblings like images/train and labels/train come next."""
    same = sum(1 for ours, theirs in zip(path.parts, folder.parts, strict=False) if ours == theirs)
    return (
        same * 2 + (path.parent.name == folder.name) + (split_of(path.parent.name) == split_of(folder.name))
    )


def without_picture(name: str, file: Path, line: int | None) -> Finding:
    """The finding for a label whose picture is not there."""
    return Finding(
        Level.ERROR,
        "label-without-picture",
        f"a label for {name!r}, and no such picture",
        "add the picture, or take the label out",
        file,
        line,
    )


def without_label(pictures: Iterable[Path]) -> list[Finding]:
    """The findings for pictures that no label names."""
    return [
        Finding(
            Level.WARNING,
            "picture-without-label",
            "no label names this picture; it is left out",
            "label it, move it away, or say what such pictures are with --unlabelled good",
            path,
        )
        for path in pictures
    ]


def line_of(text: str, wanted: str) -> int | None:
    """The first line of a text that holds a word."""
    at = text.find(wanted)
    return None if at < 0 else text.count("\n", 0, at) + 1
