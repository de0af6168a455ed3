"""What the engine sets for its process, seen in a process of its own."""

import subprocess
import sys
from pathlib import Path

FAULTS_OF_PASSES = """
import resource
import engine.process
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def passes():
    for _ in range(8):
        (torch.ones(2_000_000) + 1).sum()

engine.process.keep_memory()
counts = [faults()]
for _ in range(6):
    passes()
    counts.append(faults())
print(min(after - before for before, after in zip(counts[1:], counts[2:])))
"""

MAPPED = """
import sys
import engine.process
import torch

def mapped_kilobytes(path):
    lines = iter(open("/proc/self/smaps"))
    next(line for line in lines if path in line)
    return next(line for line in lines if line.startswith("Rss:")).split()[1]

size = 64 << 20
first = torch.from_file(sys.argv[1], shared=True, size=size, dtype=torch.uint8)
second = torch.from_file(sys.argv[2], shared=True, size=size, dtype=torch.uint8)
engine.process.bring_in(first[100:])
print(mapped_kilobytes(sys.argv[1]), mapped_kilobytes(sys.argv[2]))
"""

ORDER = """
import builtins, os, sys
plain = builtins.__import__
def seen(name, *rest, **more):
    if name == "torch" and "torch" not in sys.modules:
        print(os.environ.get("GOMP_SPINCOUNT"))
    return plain(name, *rest, **more)
builtins.__import__ = seen
import engine
"""


def run(program: str, *arguments: str, **environment: str) -> str:
    """What a Python program prints."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def test_torch_finds_how_long_to_wait_when_it_is_loaded() -> None:
    """OpenMP reads it once: later it would change nothing, and nothing would say so."""
    assert run(ORDER) == "20000"


def test_a_patience_of_the_user_stays() -> None:
    """Who sets it knows why."""
    assert run(ORDER, GOMP_SPINCOUNT="7") == "7"


def test_memory_that_a_pass_gives_back_serves_the_next() -> None:
    """Eight megabytes are two thousand pages, and each pass takes them sixteen times.

    The heap may still grow in one of the first passes: the least of five says whether every pass pays. Left
    to itself, malloc sometimes learns to keep them; a small threshold from outside takes that luck away.
    """
    assert int(run(FAULTS_OF_PASSES, MALLOC_MMAP_THRESHOLD_="65536")) < 500


def test_pages_that_were_brought_in_are_mapped(tmp_path: Path) -> None:
    """The first verdict would otherwise pay for mapping gigabytes of weights, as for the other file here."""
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(bytes(64 << 20))

    brought_in, untouched = map(int, run(MAPPED, str(tmp_path / "first"), str(tmp_path / "second")).split())

    assert brought_in == 64 << 10
    assert untouched == 0
