"""A class name means one thing in the whole tree: who has met it once knows it everywhere."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.repository import PACKAGES, python_files, syntax_tree

DEFINED_TWICE = {
    "Box",
    "ClassFigures",
    "Evidence",
    "Example",
    "Lesson",
    "Level",
    "Picture",
    "Plan",
    "Regions",
    "Sample",
    "Stage",
    "View",
}
"""Names that the engine, the starter or teaching define once more; the set may only get smaller."""


def definitions() -> dict[str, tuple[str, ...]]:
    """The modules that define each public class of the product, by name, in order."""
    found: dict[str, set[Path]] = defaultdict(set)
    for path in python_files(*PACKAGES):
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(path)
    return {name: tuple(str(path) for path in sorted(paths)) for name, paths in found.items()}


def test_a_class_name_is_defined_once() -> None:
    """A name that a second module defines is found, and so is an exception that is none any more."""
    twice = {name: places for name, places in definitions().items() if len(places) > 1}

    assert {name: places for name, places in twice.items() if name not in DEFINED_TWICE} == {}
    assert DEFINED_TWICE - twice.keys() == set()
