"""The machine's own limits, measured by a small program that is compiled for it."""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Read bandwidth in GB/s, and int8 multiplications and additions in 10^9 a second, on all threads."""

    read: float
    int8: float


def measure(threads: int) -> Limits:
    """Compile and run it; needs a C++ compiler and an x86 processor with AVX2."""
    source = Path(__file__).with_name("limits.cpp")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "limits"
        options = ["-O2", "-std=c++17", "-march=native", "-pthread"]
        subprocess.run(["/usr/bin/env", "c++", *options, source, "-o", program], check=True)
        printed = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout
    read, int8 = map(float, printed.split())
    return Limits(read, int8)
