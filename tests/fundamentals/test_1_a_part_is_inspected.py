"""A picture goes in, a decision comes out."""

from schemas import Decision
from tests.fundamentals.conftest import Line


def test_a_good_part_is_accepted(line: Line) -> None:
    """Its defect probability lies below the recipe's first threshold."""
    result_id = line.submit("surface/SF-003.png")

    line.work()

    verdict = line.state(result_id).verdict
    assert verdict is not None
    assert verdict.decision is Decision.ACCEPT
    assert verdict.defect_class is None


def test_a_damaged_part_is_rejected_and_its_defect_named(line: Line, labels: dict[str, str]) -> None:
    """The verdict carries the class, every class's probability, and what produced them."""
    result_id = line.submit("surface/SF-002.png")

    line.work()

    verdict = line.state(result_id).verdict
    assert verdict is not None
    assert verdict.decision is Decision.REJECT
    assert verdict.defect_class == labels["surface/SF-002.png"] == "dent"
    assert [score.name for score in verdict.scores] == [c.name for c in line.recipes.get("surface").classes]
    assert verdict.versions.model_digest == line.engine.info.checkpoint_digest


def test_parts_of_different_stations_are_judged_by_their_own_recipes(line: Line) -> None:
    """One worker serves all of them in one batch."""
    metal, screw = line.submit("microscope/MS-002.png"), line.submit("ball-screw/SC-002.png")

    line.work()

    verdicts = [line.state(result_id).verdict for result_id in (metal, screw)]
    assert [verdict and verdict.defect_class for verdict in verdicts] == ["damaged", "pitting"]
