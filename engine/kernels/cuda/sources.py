"""The CUDA sources and headers beside this module, and what every compiler of them is told."""

from functools import cache
from pathlib import Path

from engine.format import header

SOURCES = Path(__file__).parent
INTRINSICS = "intrinsics.cuh"
"""The only header with inline PTX, and so the only one that the tests replace."""
HEADERS = (INTRINSICS, "activations.cuh", "codes.cuh", "tensor_cores.cuh")
LAYOUT_HEADER = "layout.cuh"
"""The header with the constants of the layout; the sources include all headers in angle brackets."""
OPTIONS = ("--std=c++17", "--fmad=false")
"""A product and a sum that are rounded together would differ from the CPU."""


def text_of(name: str) -> str:
    """The text of a source or of a header that is a file."""
    return (SOURCES / name).read_text(encoding="utf-8")


@cache
def headers() -> dict[str, str]:
    """The texts of the headers by the names that sources include them by."""
    return {name: text_of(name) for name in HEADERS} | {LAYOUT_HEADER: header.text()}
