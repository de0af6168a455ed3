"""Nothing is silently skipped: a part without a judgement is NOT_INSPECTED, an unusable file is refused."""

import numpy as np
import pytest

from schemas import Decision
from services.infra.intake import images
from services.infra.process.errors import DuplicateConflict, LynceusError, UnknownRecipe
from tests.fundamentals.conftest import SAMPLES, Line


def _reason(line: Line, result_id: str) -> str:
    verdict = line.state(result_id).verdict
    assert verdict is not None
    assert verdict.decision is Decision.NOT_INSPECTED
    assert verdict.problem is not None
    return verdict.problem.code


def test_a_late_part_is_not_inspected(line: Line) -> None:
    """The line has let it go: no work is spent on it, and it counts as a reject."""
    result_id = line.submit("surface/SF-002.png", deadline_ms=1)

    line.work()

    assert _reason(line, result_id) == "deadline-passed"


def test_a_dark_frame_is_not_judged(line: Line) -> None:
    """A picture that shows nothing gets no verdict, but it is recorded."""
    night = images.encode_png(np.zeros((200, 200, 3), np.uint8))
    result_id = line.submit_bytes(night, "surface", "part-at-night")

    line.work()

    assert _reason(line, result_id) == "frame-unfit"


@pytest.mark.parametrize("data", [b"", b"not an image", (SAMPLES / "surface/SF-001.png").read_bytes()[:2000]])
def test_what_is_no_whole_image_is_refused_at_the_door(line: Line, data: bytes) -> None:
    """The error says what is wrong and how to fix it; nothing was accepted."""
    with pytest.raises(LynceusError) as refused:
        line.submit_bytes(data, "surface", "broken")

    assert refused.value.problem().hint
    assert line.ledger.jobs.state("broken") is None


def test_an_unknown_recipe_is_refused_with_those_there_are(line: Line) -> None:
    """The hint names what could have been meant."""
    with pytest.raises(UnknownRecipe, match="surface"):
        line.submit_bytes((SAMPLES / "surface/SF-001.png").read_bytes(), "surfaces", "part-1")


def test_another_picture_under_the_same_id_is_refused(line: Line) -> None:
    """An id stands for one request; the first stays as it was."""
    line.submit("surface/SF-002.png", part_id="part-1")

    with pytest.raises(DuplicateConflict):
        line.submit("surface/SF-003.png", part_id="part-1")
