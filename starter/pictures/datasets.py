"""Readers of real pictures with known truth: turned metal, printed boards, a ball screw."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from starter.pictures.facts import (
    BOARD_CLASSES,
    BOARD_PART,
    METAL_CLASSES,
    METAL_PART,
    SCREW_CLASSES,
    SCREW_PART,
)
from starter.pictures.leakage import leaked
from starter.pictures.samples import GOOD, Box, Pixels, Sample

VALIDATION_PER_LABEL = 24
"""Pictures of turned metal of each label that choose the checkpoint."""

SHORT_SERIES = 12
"""A series of fewer pictures than this is wholly learnt from."""

SCREW_TEST, SCREW_VALIDATION = "490000_180", "395000_270"
"""Positions of the screw that are never trained on: pictures of one position resemble each other."""

BOARD_VALIDATION_EVERY = 20


@dataclass(frozen=True)
class Split:
    """Pictures to learn from, to choose a checkpoint by, and to measure it with."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    left_out: tuple[str, ...]
    """Files that show what a test or validation picture shows."""


def read_pixels(path: Path) -> Pixels:
    """An RGB picture from disk; raises FileNotFoundError where there is none that can be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FileNotFoundError(
            f"{path}: no readable picture; give the folder that holds mcbt, deeppcb and bsdata"
        )
    return np.asarray(pixels[..., ::-1].copy(), np.uint8)


def _metal_sample(path: Path) -> Sample:
    label = GOOD if path.parent.name == "normal" else "damaged"
    source = "/".join(path.parts[-4:])
    return Sample(read_pixels(path), METAL_PART, METAL_CLASSES, label, (), None, source)


def _metal_folder(folder: Path) -> list[Sample]:
    return [
        _metal_sample(path) for kind in ("normal", "defect") for path in sorted((folder / kind).iterdir())
    ]


def _series(sample: Sample) -> str:
    return sample.source.rsplit("_", 1)[0]


def _number(sample: Sample) -> int:
    return int(Path(sample.source).stem.rsplit("_", 1)[1])


def _last_of_each_series(samples: list[Sample], count: int) -> list[Sample]:
    """An equal share of each long series, its last pictures: neighbours in a series resemble each other."""
    series: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=_number):
        series.setdefault(_series(sample), []).append(sample)
    long = [members for members in series.values() if len(members) >= SHORT_SERIES]
    return [sample for members in long for sample in members[-(count // len(long)) :]]


def _without_leaks(samples: list[Sample], tests: list[Sample]) -> tuple[list[Sample], list[str]]:
    found = leaked([each.pixels for each in samples], [each.pixels for each in tests])
    kept = [each for each, out in zip(samples, found, strict=True) if not out]
    return kept, [each.source for each, out in zip(samples, found, strict=True) if out]


def read_metal(root: Path) -> Split:
    """Turned metal (mcbt) without the training pictures that show what a test picture shows."""
    test = _metal_folder(root / "mcbt" / "test")
    clean, in_test = _without_leaks(_metal_folder(root / "mcbt" / "train"), test)
    validation = [
        sample
        for label in METAL_CLASSES
        for sample in _last_of_each_series(
            [each for each in clean if each.label == label], VALIDATION_PER_LABEL
        )
    ]
    chosen = {each.source for each in validation}
    train, in_validation = _without_leaks([each for each in clean if each.source not in chosen], validation)
    return Split(tuple(train), tuple(validation), tuple(test), (*in_test, *in_validation))


@dataclass(frozen=True)
class Mark:
    """A labelled rectangle in pixels of the whole picture."""

    kind: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Plate:
    """A large picture that crops are cut from."""

    pixels: Pixels
    golden: Pixels | None
    marks: tuple[Mark, ...]
    regions: NDArray[np.bool_] | None
    source: str


@dataclass(frozen=True)
class Crops:
    """Cuts square pictures out of plates, each with no defect or whole defects of one kind."""

    plates: tuple[Plate, ...]
    part: str
    classes: tuple[str, ...]
    sides: tuple[int, int]
    """Shortest and longest side of a crop in pixels of the plate."""
    size: int = 168
    good_share: float = 0.3

    def draw(self, rng: np.random.Generator) -> Sample:
        """One crop; the label is drawn first, so that rare kinds come as often as common ones."""
        label = GOOD if rng.random() < self.good_share else str(rng.choice(self.classes[1:]))
        while True:
            plate = self.plates[int(rng.integers(len(self.plates)))]
            found = self._try(plate, label, rng)
            if found is not None:
                return found

    def fixed(self, count: int, seed: int) -> tuple[Sample, ...]:
        """The same crops every time, for measuring."""
        return tuple(self.draw(np.random.default_rng(seed + number)) for number in range(count))

    def _try(self, plate: Plate, label: str, rng: np.random.Generator) -> Sample | None:
        marks = [mark for mark in plate.marks if mark.kind == label]
        if label != GOOD and not marks:
            return None
        height, width = plate.pixels.shape[:2]
        side = int(rng.integers(self.sides[0], min(self.sides[1], height, width) + 1))
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        if marks:
            x, y = _corner_around(marks[int(rng.integers(len(marks)))], side, (height, width), rng)
        inside = _marks_inside(plate.marks, x, y, side)
        if inside is None or {mark.kind for mark in inside} != ({label} if label != GOOD else set()):
            return None
        return self._cut(plate, label, inside, (x, y, side))

    def _cut(self, plate: Plate, label: str, inside: list[Mark], window: tuple[int, int, int]) -> Sample:
        x, y, side = window
        boxes = tuple(
            Box(
                mark.kind,
                max(0.0, (mark.x0 - x) / side),
                max(0.0, (mark.y0 - y) / side),
                min(1.0, (mark.x1 - x) / side),
                min(1.0, (mark.y1 - y) / side),
            )
            for mark in inside
        )
        pixels = _resized(plate.pixels, window, self.size)
        golden = None if plate.golden is None else _resized(plate.golden, window, self.size)
        mask = (
            None
            if plate.regions is None
            else _resized(plate.regions.astype(np.uint8) * 255, window, self.size) > 127
        )
        return Sample(
            pixels, self.part, self.classes, label, boxes, mask, f"{plate.source}@{x},{y},{side}", golden
        )


def _corner_around(
    mark: Mark, side: int, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """Top left of a window that holds the mark wherever it fits."""
    corner = []
    for low, high, limit in ((mark.x0, mark.x1, shape[1]), (mark.y0, mark.y1, shape[0])):
        first, last = max(0, int(high) - side + 2), min(limit - side, int(low) - 2)
        start = int(rng.integers(first, last + 1)) if first <= last else int((low + high - side) / 2)
        corner.append(min(max(start, 0), limit - side))
    return corner[0], corner[1]


def _marks_inside(marks: tuple[Mark, ...], x: int, y: int, side: int) -> list[Mark] | None:
    """The marks a window holds; None where one is cut so that its kind cannot be told."""
    inside = []
    for mark in marks:
        across = min(mark.x1, x + side) - max(mark.x0, x)
        down = min(mark.y1, y + side) - max(mark.y0, y)
        if across <= 0 or down <= 0:
            continue
        if across * down < 0.85 * (mark.x1 - mark.x0) * (mark.y1 - mark.y0):
            return None
        inside.append(mark)
    return inside


def _resized(pixels: NDArray[np.uint8], window: tuple[int, int, int], size: int) -> NDArray[np.uint8]:
    x, y, side = window
    way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(
        cv2.resize(pixels[y : y + side, x : x + side], (size, size), interpolation=way), np.uint8
    )


@dataclass(frozen=True)
class CropSplit:
    """Croppers over plates to learn from, to choose by, and to measure with."""

    train: Crops
    validation: Crops
    test: Crops


def _board(path: Path) -> Plate:
    marks = []
    for line in path.read_text().splitlines():
        x0, y0, x1, y1, kind = (int(word) for word in line.split())
        marks.append(Mark(BOARD_CLASSES[kind], x0, y0, x1, y1))
    pixels, golden = (read_pixels(path.with_name(f"{path.stem}_{kind}.jpg")) for kind in ("test", "temp"))
    return Plate(pixels, golden, tuple(marks), None, f"deeppcb/{path.stem}")


def read_boards(root: Path) -> CropSplit:
    """Printed boards (deeppcb), their defect-free template as `golden`; its own test folder is the test."""
    train = [_board(path) for path in sorted((root / "deeppcb" / "train").glob("*.txt"))]
    test = [_board(path) for path in sorted((root / "deeppcb" / "test").glob("*.txt"))]
    chosen = train[::BOARD_VALIDATION_EVERY]
    rest = [plate for number, plate in enumerate(train) if number % BOARD_VALIDATION_EVERY]
    return CropSplit(
        *(Crops(tuple(each), BOARD_PART, BOARD_CLASSES, (110, 220)) for each in (rest, chosen, test))
    )


def _screw(path: Path, labels: Path) -> Plate:
    pixels = read_pixels(path)
    regions = np.zeros(pixels.shape[:2], np.uint8)
    label, marks = labels / f"{path.stem}.json", []
    shapes = json.loads(label.read_text())["shapes"] if label.exists() else []
    for shape in shapes:
        outline = np.round(np.array(shape["points"])).astype(np.int32)
        cv2.fillPoly(regions, [outline], 1)
        (x0, y0), (x1, y1) = outline.min(axis=0), outline.max(axis=0)
        marks.append(Mark("pitting", float(x0), float(y0), float(x1), float(y1)))
    return Plate(pixels, None, tuple(marks), regions.astype(bool), f"bsdata/{path.stem}")


def read_screws(root: Path) -> CropSplit:
    """A ball screw (bsdata), split by position because one position is photographed over and over."""
    plates = [
        _screw(path, root / "bsdata" / "labels") for path in sorted((root / "bsdata" / "images").iterdir())
    ]

    def at(*positions: str) -> Crops:
        chosen = tuple(plate for plate in plates if any(position in plate.source for position in positions))
        return Crops(chosen, SCREW_PART, SCREW_CLASSES, (110, 260), good_share=0.5)

    others = sorted(
        {"_".join(plate.source.split("_")[2:4]) for plate in plates} - {SCREW_TEST, SCREW_VALIDATION}
    )
    return CropSplit(at(*others), at(SCREW_VALIDATION), at(SCREW_TEST))
