"""Functions and files stay small enough to be read at a glance."""

import ast
from collections import Counter
from pathlib import Path

from tests.repository import PACKAGES, ROOT, python_files, syntax_tree

FUNCTION_LINES = 60
FILE_LINES = 400
TEST_FILE_LINES = 500

MODULES_IN_FOLDER = 15

MORE_MODULES = {
    "engine/model": 25,
    "engine/serving": 25,
    "engine/kernels/cuda": 21,
    "engine/tuning": 17,
    "services/cli/commands": 16,
    "worker": 19,
}
"""Folders that may hold more, up to so many: they read well as they are, and the last three only shrink."""

EXCEPTIONS: dict[str, int] = {}
"""`path` or `path:function` -> its length today. An entry may only shrink, and goes when it fits."""


def file_limit(path: Path) -> int:
    """Tests may be a little longer than what they test."""
    return TEST_FILE_LINES if path.parts[0] == "tests" else FILE_LINES


def function_lengths(tree: ast.AST, path: Path) -> dict[str, int]:
    """Lines from `def` to the last statement of each function, decorators left out."""
    return {
        f"{path}:{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def too_long() -> dict[str, int]:
    """Everything over its limit, with its length."""
    found: dict[str, int] = {}
    for path in python_files(*PACKAGES, "tests", "bench"):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > file_limit(path):
            found[str(path)] = lines
        lengths = function_lengths(syntax_tree(path), path)
        found |= {name: length for name, length in lengths.items() if length > FUNCTION_LINES}
    return found


def test_functions_and_files_keep_to_their_limits() -> None:
    """Nothing is over its limit but the table of exceptions, which only shrinks: it holds today's lengths."""
    assert too_long() == EXCEPTIONS


def test_a_folder_is_seen_at_a_glance() -> None:
    """No folder outside the tests holds more modules than fit on a screen, `__init__` aside."""
    counts = Counter(
        str(path.parent) for path in python_files(*PACKAGES, "bench") if path.name != "__init__.py"
    )
    allowed = {folder: MORE_MODULES.get(folder, MODULES_IN_FOLDER) for folder in counts}
    assert {folder: count for folder, count in counts.items() if count > allowed[folder]} == {}
