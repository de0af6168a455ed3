"""What the serving benches ask: a recipe with 200 tokens of words and a golden image, and ever new frames."""

from collections.abc import Iterator

import numpy as np

from engine import Image, Prompt, Sampling
from engine.model.images import Pixels
from schemas.report import Diagnosis
from starter.pictures.facts import SURFACE_CLASSES, SURFACE_PART
from starter.pictures.samples import GOOD
from starter.pictures.targets import diagnose_text, inspect_text
from starter.surfaces.surfaces import generate

CRITERIA = """
Accept a part that is good. A scratch is a long thin line; a dent is a round hollow that is lighter on one \
side and darker on the other; a pit is a small dark hole; a stain is a darker or lighter spot of no fixed \
form; a crack is a dark line with branches; weld spatter is one or more small round beads; a missing part \
is a place without its bolt or its rivet. Marks of the tool are not defects. Dust is not a defect. Look at \
the whole surface, also at the edges. The first picture shows a good part; the second shows the part to \
inspect. Answer with one class only."""

CHOICES = SURFACE_CLASSES
INSPECT = inspect_text(SURFACE_PART, CHOICES) + CRITERIA
DIAGNOSE = diagnose_text(SURFACE_PART, CHOICES) + CRITERIA

REPORT = Sampling(max_tokens=512)
SCHEMA = Diagnosis.model_json_schema()

SEED = 5
BASES = 8
NOISE = 6
"""Grey levels that tell one frame from another: no cache of pictures may take two for the same."""


class Line:
    """A camera over one recipe: every frame is new, and comes again with the same seed."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)
        self._golden = Image(generate(self._rng, label=GOOD).pixels)
        self._bases = [generate(self._rng).pixels for _ in range(BASES)]

    def verdicts(self, count: int) -> list[Prompt]:
        """Prompts for that many verdicts, each with a new frame last."""
        return [Prompt((INSPECT, self._golden, Image(frame))) for frame in self._frames(count)]

    def reports(self, count: int) -> list[Prompt]:
        """Prompts for that many reports."""
        return [Prompt((DIAGNOSE, self._golden, Image(frame))) for frame in self._frames(count)]

    def _frames(self, count: int) -> Iterator[Pixels]:
        for number in range(count):
            base = self._bases[number % BASES]
            noise = self._rng.integers(0, NOISE, base.shape, dtype=np.uint8)
            yield np.clip(base, 0, 255 - NOISE) + noise
