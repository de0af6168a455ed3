"""The figures of an evaluation agree with counting by hand, and the page holds them all."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from services.cli.places import SAMPLES
from services.infra.intake.images import decode
from services.teach.drawing import with_map
from services.teach.errors import TooFewPictures
from services.teach.evaluation import Evaluation, Outcome, Outcomes, evaluate
from services.teach.evaluation.measure import Subject
from services.teach.evaluation.page import evaluation_page

CLASSES = ("good", "crack", "dent")
SUBJECT = Subject("part", 3, None, str(SAMPLES), "held-out", 0.3, 0.7, datetime(2026, 11, 24, tzinfo=UTC))


def outcome(truth: str, good: float, crack: float, dent: float, **more: object) -> Outcome:
    """One picture with its three probabilities."""
    probabilities = {"good": good, "crack": crack, "dent": dent}
    fields = {"path": Path("surface/SF-001.png"), "brightness": 100.0} | more
    return Outcome(truth=truth, probabilities=probabilities, **fields)  # type: ignore[arg-type]


OUTCOMES = [
    *(outcome("good", 0.9, 0.06, 0.04, brightness=50.0 + n, camera="1") for n in range(6)),
    outcome("good", 0.1, 0.8, 0.1, camera="1"),
    outcome("good", 0.5, 0.3, 0.2, camera="2"),
    *(outcome("crack", 0.05, 0.9, 0.05, brightness=150.0 + n, camera="2") for n in range(6)),
    outcome("crack", 0.85, 0.1, 0.05, camera="2"),
    outcome("dent", 0.1, 0.5, 0.4, camera="2"),
]


def result(items: list[Outcome]) -> Evaluation:
    """The evaluation of some outcomes."""
    return evaluate(Outcomes(CLASSES, frozenset({"good"}), tuple(items)), SUBJECT)


def test_mistakes_are_counted_as_the_trade_counts_them() -> None:
    """An escape is a bad part accepted, overkill a good one rejected, and what lies between is review."""
    found = result(OUTCOMES)

    assert (found.escapes.count, found.escapes.total) == (1, 8)
    assert (found.overkill.count, found.overkill.total) == (1, 8)
    assert (found.review.count, found.review.total) == (1, 16)
    assert found.escapes.low < found.escapes.count / 8 < found.escapes.high
    assert found.escapes.bound == pytest.approx(0.4707, abs=1e-4)


def test_classes_have_precision_and_recall() -> None:
    """Seven of eight good parts named good, one crack among them; the dent is named a crack."""
    good, crack, dent = result(OUTCOMES).classes

    assert (good.right, good.named, good.pictures) == (7, 8, 8)
    assert (crack.precision, crack.recall) == (6 / 8, 6 / 7)
    assert (dent.precision, dent.recall) == (None, 0.0)
    assert result(OUTCOMES).balanced_accuracy == pytest.approx(np.mean([7 / 8, 6 / 7, 0.0]))
    assert result(OUTCOMES).confusion["dent"] == {"good": 0, "crack": 1, "dent": 0}


def test_reliability_compares_how_sure_with_how_right() -> None:
    """Ten bins; the error is their mean distance from the diagonal."""
    found = result([outcome("good", 0.8, 0.1, 0.1)] * 3 + [outcome("crack", 0.8, 0.1, 0.1)])

    (only,) = found.reliability
    assert (only.pictures, only.accuracy) == (4, 0.75)
    assert only.confidence == pytest.approx(0.8)
    assert found.calibration_error == pytest.approx(0.05)


def test_slices_show_where_it_fails() -> None:
    """By camera and by brightness, each with its own mistakes."""
    slices = {(each.by, each.value): each for each in result(OUTCOMES).slices}

    assert slices["camera", "2"].escapes.count == 1
    assert slices["camera", "1"].escapes.count == 0
    assert slices["brightness", "dark third"].right.share == 1.0


def test_the_worst_mistakes_come_first() -> None:
    """The escape, then the overkill, then the wrong name of what was rejected all the same."""
    assert [each.kind for each in result(OUTCOMES).worst] == ["escape", "overkill", "confusion"]


def test_good_parts_alone_give_no_curve_and_no_escape_rate() -> None:
    """What cannot be known is None, not zero."""
    found = result(OUTCOMES[:6])

    assert found.auroc is None
    assert found.escapes.share is None
    assert found.escapes.bound == 1.0
    assert "of 0" in evaluation_page(found)


def test_no_picture_of_the_recipes_classes_is_refused() -> None:
    """There is nothing to measure."""
    with pytest.raises(TooFewPictures):
        result([])


def test_the_page_holds_plots_and_pictures_and_loads_nothing() -> None:
    """Three plots, the worst mistakes with their maps, no address outside."""
    asked = []

    def overlay_of(path: Path) -> np.ndarray:
        asked.append(path)
        return with_map(decode(path.read_bytes()), np.eye(8, dtype=np.float32))

    page = evaluation_page(result(OUTCOMES), overlay_of)

    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg") == len(asked) == 3
    assert "http" not in page.replace("http-equiv", "")
    assert Evaluation.model_validate_json(result(OUTCOMES).model_dump_json()) == result(OUTCOMES)
