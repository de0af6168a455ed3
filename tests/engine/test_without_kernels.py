"""Where the compiled kernels are missing, the references answer."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import Engine, EngineConfig, Image, Prompt

STARTER = Path(__file__).parents[2] / "models" / "starter"
CHOICES = ("good", "dent", "pit", "crack")
PIXELS = np.random.default_rng(0).integers(0, 255, (84, 112, 3), dtype=np.uint8)

PROGRAM = """
import importlib.util, json, logging, sys
from pathlib import Path

whole = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.endswith("cpu._native") else whole(name, *rest)
logging.basicConfig(format="%(name)s: %(message)s", level=logging.WARNING)

from tests.engine.test_without_kernels import scores
print(json.dumps([scores(), scores()]))
assert "engine.kernels.cpu._native" not in sys.modules
"""


def scores() -> list[float]:
    """What the starter makes of a picture, on the processor."""
    with Engine(EngineConfig(STARTER, device="cpu", cache_bytes=2**26)) as engine:
        found = engine.score(Prompt(("Inspect the part.", Image(PIXELS))), CHOICES).result()
    return list(found.log_probabilities)


def test_the_references_answer_and_say_so_once() -> None:
    """The same scores as with the kernels, up to the rounding of int8; one line for two engines."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    answers = json.loads(done.stdout)

    assert answers[0] == answers[1]
    assert answers[0] == pytest.approx(scores(), abs=0.05)
    assert done.stderr.count("the CPU kernels are not built") == 1
