"""Writes the constants of engine/quant/layout.py as a C++ header, so that they stand in one place.

python layout_header.py LAYOUT_PY HEADER
"""

import runpy
import sys
from pathlib import Path

CONSTANTS = ("ROWS_PER_BYTE", "SEGMENT", "MULTIPLIER", "FOLD", "NIBBLES", "CENTRE", "HADAMARD_BLOCK")


def main(layout: str, header: str) -> None:
    """Write the header; KeyError names a constant that the layout lacks."""
    values = runpy.run_path(layout)
    lines = [f"constexpr unsigned k_{name} = {values[name]:#x};" for name in CONSTANTS]
    text = "\n".join(["#pragma once", "namespace lynceus::layout {", *lines, "}", ""])
    Path(header).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
