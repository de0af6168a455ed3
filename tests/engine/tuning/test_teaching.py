"""A part is taught from a few pictures and judges others; see tests/engine/tuning/parts.py for the part."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ImageInvalid, TaughtPartInvalid, TeachingInvalid
from engine.tuning import (
    ANOMALY,
    HeldOut,
    Regions,
    TaughtPart,
    TeachOptions,
    digest_of,
    load_part,
    save_part,
    teach,
)
from tests.engine.tuning.parts import pictures, plate

HELD_OUT = 1_000
"""First seed of plates that nothing was taught with."""


@pytest.fixture(scope="module")
def part() -> TaughtPart:
    """Three kinds of plates, six of each."""
    return teach(pictures({"good": 6, "spot": 6, "scratch": 6}), TeachOptions(orientations=False))


@pytest.fixture(scope="module")
def goods_only() -> TaughtPart:
    """Good plates and nothing else."""
    return teach(pictures({"good": 10}))


def test_plates_it_has_not_seen_are_told_apart(part: TaughtPart) -> None:
    """The most probable class is the right one, and the probabilities sum to one."""
    for label in ("good", "spot", "scratch"):
        probabilities = part.judge(plate(HELD_OUT, label)).probabilities
        assert max(probabilities, key=probabilities.__getitem__) == label
        assert sum(probabilities.values()) == pytest.approx(1)


def test_the_box_is_where_the_defect_is(part: TaughtPart) -> None:
    """The hottest region holds the spot, and the map is hottest there."""
    clean, spotted = plate(HELD_OUT), plate(HELD_OUT, "spot")
    y, x = np.argwhere((clean != spotted).any(2)).mean(0)
    opinion = part.judge(spotted)
    assert opinion.box is not None
    left, top, width, height = opinion.box
    assert left <= x <= left + width
    assert top <= y <= top + height
    assert 0 <= opinion.anomaly_map.min() <= opinion.anomaly_map.max() <= 1


def test_the_same_picture_gives_the_same_bits(part: TaughtPart) -> None:
    """Judging twice gives equal numbers to the last bit."""
    first, second = (part.judge(plate(HELD_OUT, "scratch")) for _ in range(2))
    assert first.probabilities == second.probabilities
    assert np.array_equal(first.anomaly_map, second.anomaly_map)


def test_teaching_twice_gives_the_same_part(goods_only: TaughtPart) -> None:
    """The seed and the pictures fix everything that judges."""
    again = teach(pictures({"good": 10}))
    assert again.judge(plate(HELD_OUT)).anomaly == goods_only.judge(plate(HELD_OUT)).anomaly
    assert again.held_out == goods_only.held_out


def test_good_parts_alone_suffice_to_see_what_is_odd(goods_only: TaughtPart) -> None:
    """A spot is an anomaly although no bad part was ever shown."""
    assert goods_only.classes == ("good", ANOMALY)
    odd = goods_only.judge(plate(HELD_OUT, "spot"))
    assert odd.probabilities[ANOMALY] > 0.5 > goods_only.judge(plate(HELD_OUT)).probabilities[ANOMALY]


def test_every_picture_has_a_score_from_models_that_had_not_seen_it(part: TaughtPart) -> None:
    """Held-out scores are in the order of the pictures, and most are right."""
    assert [each.label for each in part.held_out] == ["good"] * 6 + ["spot"] * 6 + ["scratch"] * 6
    right = [
        max(each.probabilities, key=each.probabilities.__getitem__) == each.label for each in part.held_out
    ]
    assert np.mean(right) > 0.8


def test_a_part_survives_the_disk(part: TaughtPart, tmp_path: Path) -> None:
    """What is loaded says the same to the last bit, under the digest that saving returned."""
    digest = save_part(part, tmp_path)
    loaded = load_part(tmp_path)
    assert digest == digest_of(tmp_path)
    assert (
        loaded.judge(plate(HELD_OUT, "spot")).probabilities
        == part.judge(plate(HELD_OUT, "spot")).probabilities
    )
    assert (loaded.held_out, loaded.provenance) == (part.held_out, part.provenance)


def test_a_part_that_was_changed_on_disk_is_refused(part: TaughtPart, tmp_path: Path) -> None:
    """One flipped bit is enough; so is a file that is missing."""
    save_part(part, tmp_path)
    numbers = tmp_path / "part.safetensors"
    content = bytearray(numbers.read_bytes())
    content[-1] ^= 1
    numbers.write_bytes(bytes(content))
    with pytest.raises(TaughtPartInvalid, match="was changed"):
        load_part(tmp_path)
    numbers.unlink()
    with pytest.raises(TaughtPartInvalid, match="no readable taught part"):
        load_part(tmp_path)


def test_too_few_good_pictures_are_refused() -> None:
    """The error says how many there are and what is needed."""
    with pytest.raises(TeachingInvalid, match="2 pictures labelled 'good'"):
        teach(pictures({"good": 2, "spot": 6}))


def test_what_is_no_picture_is_refused(part: TaughtPart) -> None:
    """Grey without a channel, floats and a few pixels are errors, not opinions."""
    wrong: list[NDArray[Any]] = [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 3)),
        np.zeros((4, 4, 3), np.uint8),
    ]
    for each in wrong:
        with pytest.raises(ImageInvalid):
            part.judge(each)


def test_an_ignored_region_changes_nothing() -> None:
    """Whatever is printed there, the opinion is the same to the last bit."""
    regions = Regions(ignore=((0.0, 0.0, 1.0, 0.25),))
    part = teach(pictures({"good": 6}), TeachOptions(regions=regions))
    clean = plate(HELD_OUT)
    printed = clean.copy()
    printed[: len(clean) // 4] = 255
    assert part.judge(printed).anomaly == part.judge(clean).anomaly


def test_a_picture_that_cannot_be_judged_says_why(part: TaughtPart) -> None:
    """Dark, overexposed and good plates."""
    good = plate(HELD_OUT)
    assert part.judge(good).not_judged is None
    assert part.judge(good // 16).not_judged == "dark"
    assert part.judge(np.full_like(good, 255)).not_judged is not None


def test_doubt_is_learned_only_where_it_would_have_caught_something(part: TaughtPart) -> None:
    """Opinions that differ on good parts too tell nothing; they tell where only an escape had them so."""

    def held_out(label: str, good: float, disagreement: float) -> HeldOut:
        return HeldOut(label, {"good": good, "spot": 1 - good, "scratch": 0.0}, 0.0, disagreement)

    goods = (held_out("good", 0.9, 0.3), held_out("good", 0.8, 0.5), held_out("good", 0.2, 0.99))
    useless = replace(part, held_out=(*goods, held_out("spot", 0.9, 0.4), held_out("spot", 0.1, 0.9)))
    assert useless.most_disagreement == math.inf
    useful = replace(part, held_out=(*goods, held_out("spot", 0.9, 0.7)))
    assert useful.most_disagreement == 0.5
