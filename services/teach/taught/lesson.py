"""The pictures of a checked folder as the engine is taught with them, and those held back for the test."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.tuning import LabelledPicture, Opinion, TaughtPart
from schemas.recipe import Regions
from services.infra.intake.images import Rgb, decode
from services.infra.intake.regions import apply_regions
from services.teach.data.check import Checked
from services.teach.data.groups import camera_in, is_one_part
from services.teach.data.look import Look
from services.teach.data.pictures import Picture, is_good
from services.teach.errors import TooFewPictures
from services.teach.evaluation.outcomes import Outcome
from services.teach.taught.names import class_names

TEST = "test"
LEAST_GOOD = 5
"""Good pictures without which no part is taught."""


WHOLE = Regions()


@dataclass(frozen=True, slots=True)
class Sample:
    """One usable picture with what was seen of it and the class name that it goes under."""

    picture: Picture
    look: Look
    name: str
    regions: Regions = WHOLE
    """Of the recipe: what of the picture is looked at, as a worker looks at frames."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file in hexadecimal."""
        return self.look.digest.hex()

    def labelled(self) -> LabelledPicture:
        """As the engine takes it; pixels are read when they are asked for."""
        return LabelledPicture(
            label=self.name,
            group=self.picture.group,
            pixels=self.pixels,
            golden=self.golden_pixels if self.picture.golden is not None else None,
        )

    def pixels(self) -> Rgb:
        """Upright RGB of the looked-at rectangle. Raises what decoding raises."""
        return apply_regions(read_pixels(self.picture.path), self.regions)

    def golden_pixels(self) -> Rgb:
        """The same of the aligned golden picture, which there must be."""
        assert self.picture.golden is not None, self.picture.path
        return apply_regions(read_pixels(self.picture.golden), self.regions)

    def judged_by(self, part: TaughtPart) -> Opinion:
        """What a taught part says of it, beside its golden picture where there is one."""
        golden = self.golden_pixels() if self.picture.golden is not None else None
        return part.judge(self.pixels(), golden)

    def outcome(self, probabilities: dict[str, float], anomaly: float | None, root: Path) -> Outcome:
        """What was said of the picture, with the slices it belongs to."""
        group, path = self.picture.group, self.picture.path
        alone = group is None or is_one_part(group)
        return Outcome(
            path=path.relative_to(root) if path.is_relative_to(root) else path,
            truth=self.name,
            probabilities=probabilities,
            part=group if alone else None,
            lot=None if alone else group,
            camera=camera_in(path.stem),
            brightness=self.look.brightness,
            anomaly=anomaly,
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is taught, what is held back, and the class of good parts."""

    taught: tuple[Sample, ...]
    held_back: tuple[Sample, ...]
    good: str
    labels: dict[str, str]
    """The plant's own label of each class name."""


def read_pixels(path: Path) -> Rgb:
    """Upright RGB of a picture file. Raises what decoding raises."""
    return decode(path.read_bytes())


def lesson_of(checked: Checked, regions: Regions | None = None) -> Lesson:
    """Everything outside a test split is taught; test pictures that are copies of taught ones are dropped.

    Raises TooFewPictures where there are hardly any good parts.
    """
    samples = samples_of(checked, regions)
    held_back = [each for each in samples if each.picture.split == TEST]
    taught = [each for each in samples if each.picture.split != TEST] or held_back
    known = {each.picture.group for each in taught}
    fresh = [each for each in held_back if each.picture.group not in known]
    good = _good_class(taught, str(checked.dataset.root))
    labels = {each.name: each.picture.label for each in samples}
    return Lesson(tuple(taught), tuple(fresh) if held_back is not taught else (), good, labels)


def samples_of(checked: Checked, regions: Regions | None = None) -> tuple[Sample, ...]:
    """Every usable picture under its class name."""
    pictures, looks = checked.dataset.pictures, checked.looks
    names = class_names(each.label for each in pictures)
    return tuple(
        Sample(each, look, names[each.label], regions or WHOLE)
        for each, look in zip(pictures, looks, strict=True)
    )


def named_for(
    samples: Sequence[Sample], classes: Sequence[str], acceptable: Collection[str]
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The samples under the classes of a recipe, and the labels that it has no class for.

    A label that means good is the recipe's one acceptable class, whatever either calls it; any other label is
    its one defect class, where it has only one.
    """
    bad = [name for name in classes if name not in acceptable]
    found, unknown = [], set()
    for sample in samples:
        kind = list(acceptable) if is_good(sample.picture.label) else bad
        if sample.name in classes:
            found.append(sample)
        elif len(kind) == 1:
            found.append(replace(sample, name=kind[0]))
        else:
            unknown.add(sample.picture.label)
    return tuple(found), tuple(sorted(unknown))


def _good_class(samples: Sequence[Sample], folder: str) -> str:
    good = [each.name for each in samples if is_good(each.picture.label)]
    if len(good) < LEAST_GOOD:
        raise TooFewPictures.of(
            "DIR",
            folder,
            f"holds {len(good)} good pictures to teach with",
            f"add pictures of good parts under good/ or ok/: {LEAST_GOOD} at the least, 20 to begin with",
        )
    return max(sorted(set(good)), key=good.count)
