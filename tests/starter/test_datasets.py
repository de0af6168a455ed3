"""Readers of real pictures keep what is measured apart from what is learnt."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from starter.pictures.datasets import (
    SCREW_TEST,
    SCREW_VALIDATION,
    Crops,
    Split,
    read_boards,
    read_metal,
    read_pixels,
    read_screws,
)
from starter.pictures.leakage import copies, leaked, overlaps
from starter.pictures.samples import GOOD, Pixels, Sample
from starter.surfaces.materials import turned_metal


def grooves(seed: int, size: int = 256) -> Pixels:
    """A piece of turned metal."""
    return np.clip(turned_metal(np.random.default_rng(seed), size), 0, 255).astype(np.uint8)


@pytest.fixture
def metal_root(tmp_path: Path) -> Path:
    """A small copy of the layout, in which test pictures stand among the training pictures as well."""
    for number in range(4):
        pixels = grooves(number)
        for folder in ("test/normal", "test/defect"):
            save(
                tmp_path / "mcbt" / folder / f"{'img' if 'normal' in folder else 'real'}_{number}.png", pixels
            )
    for kind, name in (("normal", "im2"), ("defect", "def3")):
        for number in range(30):
            save(tmp_path / "mcbt" / "train" / kind / f"{name}_{number}.jpeg", grooves(100 + number))
        save(tmp_path / "mcbt" / "train" / kind / f"{name}_90.jpeg", grooves(2))
    return tmp_path


def save(path: Path, pixels: Pixels) -> None:
    """Write a picture with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1])


def sources(samples: tuple[Sample, ...]) -> set[str]:
    """Where samples come from."""
    return {sample.source for sample in samples}


def test_a_copy_is_found_turned_and_mirrored() -> None:
    """The eight positions of one picture are one picture; another is another."""
    test = grooves(1)
    suspects = [test, np.rot90(test).copy(), test[:, ::-1].copy(), np.rot90(test[::-1], 3).copy(), grooves(2)]
    assert copies(suspects, [test]).tolist() == [True, True, True, True, False]


def test_an_overlapping_crop_is_found_and_a_distant_one_is_not() -> None:
    """Two windows that share most of a spot are one spot."""
    plate = grooves(3, 700)
    test, beside, far = plate[:256, :256], plate[40:296, 30:286], plate[420:676, 420:676]
    assert overlaps([beside, far, grooves(4)], [test]).tolist() == [True, False, False]
    assert leaked([beside, test, far], [test]).tolist() == [True, True, False]


def test_grooves_that_look_alike_are_not_the_same_spot() -> None:
    """Small, two spots with the same stripes cannot be told apart; at full size their roughness differs."""
    stripes = 120 + 60 * np.sin(np.arange(256) * (2 * np.pi / 16))
    first, second = (
        np.clip(stripes[None, :, None] + np.random.default_rng(seed).normal(0, 25, (256, 256, 1)), 0, 255)
        .astype(np.uint8)
        .repeat(3, axis=2)
        for seed in (1, 2)
    )
    assert overlaps([first, second], [first]).tolist() == [True, False]


def test_no_training_picture_is_a_test_picture(metal_root: Path) -> None:
    """What stands in both folders is left out of training, and is named."""
    split = read_metal(metal_root)
    assert {"mcbt/train/normal/im2_90.jpeg", "mcbt/train/defect/def3_90.jpeg"} <= set(split.left_out)
    assert not sources(split.train) & set(split.left_out)
    assert not leaked([s.pixels for s in split.train], [s.pixels for s in split.test]).any()


def test_every_training_picture_is_used_once_or_named_as_left_out(metal_root: Path) -> None:
    """Train, validation and the list of those left out add up to the folder."""
    split = read_metal(metal_root)
    files = {f"mcbt/train/{path.parent.name}/{path.name}" for path in (metal_root / "mcbt/train").glob("*/*")}
    assert sources(split.train) | sources(split.validation) | set(split.left_out) == files
    assert not sources(split.train) & sources(split.validation)
    assert len(split.test) == 8


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    """The error says which file and what folder to give."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        read_pixels(tmp_path / "nothing.png")


@pytest.fixture(scope="module")
def real_metal(shared_data: Path) -> Split:
    """The real pictures; finding the overlaps takes some 20 s."""
    return read_metal(shared_data)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_known_leaks_of_the_real_pictures_are_out(real_metal: Split) -> None:
    """test/defect/real_33 is train/defect/def3_78, and all 70 test pictures have such a twin."""
    assert "mcbt/train/defect/def3_78.jpeg" in real_metal.left_out
    assert len(real_metal.left_out) >= 71
    assert not copies([s.pixels for s in real_metal.train], [s.pixels for s in real_metal.test]).any()
    assert [sum(s.label == label for s in real_metal.validation) for label in ("good", "damaged")] == [24, 24]
    assert [sum(s.label == label for s in real_metal.test) for label in ("good", "damaged")] == [35, 35]


def check_crops(crops: Crops) -> list[Sample]:
    """Forty crops, each of which shows its one label and nothing else."""
    drawn = [crops.draw(np.random.default_rng(seed)) for seed in range(40)]
    for sample in drawn:
        assert sample.pixels.shape == (168, 168, 3)
        assert {box.kind for box in sample.boxes} == (set() if sample.label == GOOD else {sample.label})
        assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in sample.boxes)
    return drawn


@pytest.mark.slow
def test_a_board_differs_from_its_template_where_its_boxes_are(shared_data: Path) -> None:
    """Crop and golden picture lie on each other: the difference is inside the boxes."""
    split = read_boards(shared_data)
    bad = [sample for sample in check_crops(split.train) if sample.label != GOOD]
    assert len({sample.label for sample in bad}) == 6
    for sample in bad:
        assert sample.golden is not None
        box, size = sample.boxes[0], 168
        difference = np.abs(sample.pixels.astype(int) - sample.golden).max(axis=2) > 100
        inside = difference[
            int(box.y0 * size) : int(box.y1 * size) + 1, int(box.x0 * size) : int(box.x1 * size) + 1
        ]
        assert inside.any()
    names = [
        {plate.source for plate in crops.plates} for crops in (split.train, split.validation, split.test)
    ]
    assert not names[0] & names[1]
    assert not names[0] & names[2]


@pytest.mark.slow
def test_screw_positions_do_not_straddle_the_split(shared_data: Path) -> None:
    """The position that measures is never trained on, nor the one that chooses."""
    split = read_screws(shared_data)
    check_crops(split.train)
    assert all(SCREW_TEST in plate.source for plate in split.test.plates)
    assert all(SCREW_VALIDATION in plate.source for plate in split.validation.plates)
    assert not any(
        SCREW_TEST in plate.source or SCREW_VALIDATION in plate.source for plate in split.train.plates
    )
    assert len(split.train.plates) + len(split.validation.plates) + len(split.test.plates) == 345
