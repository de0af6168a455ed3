"""What the engine sets for its process, seen in a process of its own."""

import subprocess
import sys

SECOND_PASS = """
import resource
import engine.process
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def passes():
    for _ in range(8):
        (torch.ones(2_000_000) + 1).sum()

engine.process.keep_memory()
passes()
before = faults()
passes()
print(faults() - before)
"""

ORDER = """
import builtins, os, sys
plain = builtins.__import__
def seen(name, *rest, **more):
    if name == "torch" and "torch" not in sys.modules:
        print(os.environ.get("OMP_WAIT_POLICY"))
    return plain(name, *rest, **more)
builtins.__import__ = seen
import engine
"""


def run(program: str, **environment: str) -> str:
    """What a Python program prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def test_torch_finds_the_wait_policy_when_it_is_loaded() -> None:
    """OpenMP reads it once: later it would change nothing, and nothing would say so."""
    assert run(ORDER) == "passive"


def test_a_wait_policy_of_the_user_stays() -> None:
    """Who sets it knows why."""
    assert run(ORDER, OMP_WAIT_POLICY="active") == "active"


def test_memory_that_a_pass_gives_back_serves_the_next() -> None:
    """Eight megabytes are two thousand pages, and each pass takes them twice."""
    assert int(run(SECOND_PASS)) < 500
