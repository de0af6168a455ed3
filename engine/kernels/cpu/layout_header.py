"""Writes the constants of engine/quant/layout.py as a C++ header, so that they stand in one place.

python layout_header.py LAYOUT_PY HEADER
"""

import runpy
import sys
from pathlib import Path

CONSTANTS = ("ROWS_PER_BYTE", "SEGMENT", "MULTIPLIER", "FOLD", "NIBBLES", "CENTRE", "HADAMARD_BLOCK")


def text(layout: str) -> str:
    """The header of a layout.py; KeyError names a constant that it lacks."""
    values = runpy.run_path(layout)
    lines = [f"constexpr unsigned k_{name} = {values[name]:#x};" for name in CONSTANTS]
    return "\n".join(["#pragma once", "namespace lynceus::layout {", *lines, "}", ""])


def main(layout: str, header: str) -> None:
    """Write the header."""
    Path(header).write_text(text(layout), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
