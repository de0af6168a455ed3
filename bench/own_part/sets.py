"""The measured parts: which pictures teach and which test, without leaks between them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from engine.tuning import LabelledPicture
from engine.tuning.pictures import Pixels

COPIES_WITHIN = 6
"""Bits of 64 in which the hashes of two copies differ at most."""
NEU_TEST, NEU_SEED = 40, 1234
"""Pictures a class held out of neu, the same ones for every seed."""
CROP = 128
PCB_KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
BOARDS = {"train": slice(None), "test": slice(None, None, 3)}
"""Every third tested board is enough for an accuracy to a per cent."""
BSDATA_TAUGHT = 0.7
"""Share of bsdata, by time, that teaches."""


@dataclass(frozen=True)
class Sample:
    """One picture with its class; `pool` says whether it may teach or test, or both may be drawn from it."""

    name: str
    label: str
    pool: str
    read: Callable[[], Pixels]
    golden: Callable[[], Pixels] | None = None
    group: str | None = None
    mask: Path | None = None

    @property
    def picture(self) -> LabelledPicture:
        """As the engine is taught with it."""
        return LabelledPicture(self.label, self.group, self.read, self.golden)


@dataclass(frozen=True)
class PartSet:
    """A part with its samples, the name of its good class and the shots that are measured."""

    name: str
    good: str
    shots: tuple[int, ...]
    samples: tuple[Sample, ...]

    def split(self, shots: int, seed: int) -> tuple[list[Sample], list[Sample]]:
        """Samples that teach, so many a class, and samples that test; the seed draws."""
        rng = np.random.default_rng(seed)
        taught: list[Sample] = []
        tested: list[Sample] = []
        for label in sorted({each.label for each in self.samples}):
            mine = [each for each in self.samples if each.label == label]
            either = [mine_one for mine_one in mine if mine_one.pool == "either"]
            teach = [each for each in mine if each.pool == "teach"]
            drawn = [(either or teach)[index] for index in rng.permutation(len(either or teach))]
            taught += drawn[:shots]
            tested += drawn[shots:] if either else [each for each in mine if each.pool == "test"]
        return taught, tested


def read_file(path: Path) -> Pixels:
    """RGB [H, W, 3] of a picture file."""
    found = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if found is None:
        raise FileNotFoundError(path)
    return np.asarray(found, np.uint8)


def _file(path: Path, label: str, pool: str, group: str | None = None, mask: Path | None = None) -> Sample:
    return Sample(path.name, label, pool, partial(read_file, path), None, group, mask)


def casting(data: Path) -> PartSet:
    """Pump impellers: the given training and test folders."""
    return PartSet("casting", "good", (5, 20, 300), _folders(data / "casting", ("good", "defect")))


def cookies(data: Path) -> PartSet:
    """Biscuits; masks of the cracked ones that teach serve the maps."""
    samples = _folders(data / "cookies", ("good", "cracked"))
    masks = data / "cookies/masks/cracked"
    with_masks = [
        _file(
            Path(data / "cookies" / folder / each.label / each.name),
            each.label,
            each.pool,
            mask=masks / f"{Path(each.name).stem}.png",
        )
        if each.label == "cracked" and each.pool == "teach"
        else each
        for each in samples
        for folder in ("train" if each.pool == "teach" else "test",)
    ]
    return PartSet("cookies", "good", (5, 20), tuple(with_masks))


def aliens(data: Path) -> PartSet:
    """Toy figures: taught and tested pictures are drawn by the seed."""
    files = [
        (path, label) for label in ("good", "damaged") for path in sorted((data / "aliens" / label).iterdir())
    ]
    return PartSet("aliens", "good", (5, 20), tuple(_file(path, label, "either") for path, label in files))


def neu(data: Path) -> PartSet:
    """Steel strip: six kinds of defect and no good one, a fixed 40 a kind held out."""
    samples: list[Sample] = []
    paths = sorted((data / "neu/images").iterdir())
    kinds = sorted({path.stem.rsplit("_", 1)[0] for path in paths})
    for kind in kinds:
        mine = [path for path in paths if path.stem.rsplit("_", 1)[0] == kind]
        order = np.random.default_rng(NEU_SEED).permutation(len(mine))
        samples += [_file(mine[index], kind, "test") for index in order[:NEU_TEST]]
        samples += [_file(mine[index], kind, "teach") for index in order[NEU_TEST:]]
    return PartSet("neu", kinds[0], (5, 20), tuple(samples))


def mcbt(data: Path) -> PartSet:
    """Machined surface; whatever teaches and is a copy of a test picture is left out."""
    samples = _folders(data / "mcbt", ("normal", "defect"))
    tested = np.array([_hash(each.read()) for each in samples if each.pool == "test"])
    kept = [
        each
        for each in samples
        if each.pool == "test" or _nearest(_hash(each.read()), tested) > COPIES_WITHIN
    ]
    return PartSet("mcbt", "normal", (20, 150), tuple(kept))


def bsdata(data: Path) -> PartSet:
    """Ball screws split by time; beside each picture the first one ever taken at its place."""
    folder = data / "bsdata"
    worn = {path.stem for path in (folder / "labels").iterdir()}
    paths = sorted((folder / "images").iterdir())
    taught = int(len(paths) * BSDATA_TAUGHT)
    samples = []
    for number, path in enumerate(paths):
        pool = "teach" if number < taught else "test"
        samples.append(_file(path, "pitting" if path.stem in worn else "good", pool, group=path.stem[3:12]))
    return PartSet("bsdata", "good", (1000,), tuple(samples))


def deeppcb(data: Path) -> PartSet:
    """Crops of boards, each beside the same crop of its template."""
    samples = [each for pool in ("train", "test") for each in _board_crops(data / "deeppcb" / pool)]
    return PartSet("deeppcb", "good", (20, 60), tuple(samples))


def _folders(root: Path, labels: tuple[str, ...]) -> tuple[Sample, ...]:
    return tuple(
        _file(path, label, pool)
        for folder, pool in (("train", "teach"), ("test", "test"))
        for label in labels
        for path in sorted((root / folder / label).iterdir())
    )


def _hash(rgb: Pixels) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Signs of the low frequencies of an 32 x 32 picture (pHash)."""
    grey = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].flatten()
    return np.asarray(low > np.median(low))


def _nearest(
    one: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    others: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]",
) -> int:
    return int((one != others).sum(1).min())


def _board_crops(folder: Path) -> list[Sample]:
    """For each board one crop around a defect of each kind, with no other kind in it, and one clean."""
    pool = "teach" if folder.name == "train" else "test"
    found: list[Sample] = []
    for number, listing in enumerate(sorted(folder.glob("*.txt"))[BOARDS[folder.name]]):
        rng = np.random.default_rng(number)
        rows = [
            [int(value) for value in line.replace(",", " ").split()]
            for line in listing.read_text().splitlines()
        ]
        boxes = np.array([row for row in rows if len(row) == 5])
        test, template = (folder / f"{listing.stem}_{kind}.jpg" for kind in ("test", "temp"))
        for kind in sorted(set(boxes[:, 4].tolist())):
            corners = [_around(box, rng) for box in boxes[boxes[:, 4] == kind]]
            others = boxes[boxes[:, 4] != kind]
            clear = [each for each in corners if not _touches(others, each)]
            if clear:
                found.append(_crop(test, template, clear[0], PCB_KINDS[kind - 1], pool))
        corner = _clean_corner(boxes, rng)
        if corner is not None:
            found.append(_crop(test, template, corner, "good", pool))
    return found


def _around(box: "np.ndarray[tuple[int], np.dtype[np.int64]]", rng: np.random.Generator) -> tuple[int, int]:
    jitter = rng.integers(-CROP // 5, CROP // 5 + 1, 2)
    corner = np.clip((box[:2] + box[2:4]) // 2 - CROP // 2 + jitter, 0, 640 - CROP)
    return int(corner[0]), int(corner[1])


def _clean_corner(
    boxes: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", rng: np.random.Generator
) -> tuple[int, int] | None:
    for _ in range(50):
        x, y = (int(value) for value in rng.integers(0, 640 - CROP, 2))
        if not _touches(boxes, (x, y)):
            return x, y
    return None


def _touches(boxes: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", corner: tuple[int, int]) -> bool:
    """Whether a crop holds a part of any of the boxes."""
    x, y = corner
    apart = (boxes[:, 0] > x + CROP) | (boxes[:, 2] < x) | (boxes[:, 1] > y + CROP) | (boxes[:, 3] < y)
    return not apart.all()


def _crop(test: Path, template: Path, corner: tuple[int, int], label: str, pool: str) -> Sample:
    x, y = corner

    def cut(path: Path) -> Pixels:
        return np.ascontiguousarray(read_file(path)[y : y + CROP, x : x + CROP])

    return Sample(f"{test.stem} {x} {y}", label, pool, partial(cut, test), partial(cut, template), test.stem)


SETS = {each.__name__: each for each in (casting, cookies, aliens, neu, mcbt, bsdata, deeppcb)}
