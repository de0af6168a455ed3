"""Writes the constants of the layout as a C++ header, so that they stand in one place.

The build runs it in the folder `engine`, where neither torch nor the package above it is needed:
`python -m format.header layout.h`.
"""

import sys
from pathlib import Path

from . import layout

CONSTANTS = ("ROWS_PER_BYTE", "SEGMENT", "MULTIPLIER", "FOLD", "NIBBLES", "CENTRE", "HADAMARD_BLOCK")


def text() -> str:
    """The header, for C++ and CUDA C++ alike."""
    lines = [f"constexpr unsigned k_{name} = {getattr(layout, name):#x};" for name in CONSTANTS]
    return "\n".join(["#pragma once", "namespace lynceus::layout {", *lines, "}", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
