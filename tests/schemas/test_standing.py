"""How far a recipe may be trusted follows from its evidence alone."""

import pytest
from pydantic import ValidationError

from schemas.evidence import Evidence, Standing, Taught, standing_of

DIGEST, OTHER = "a" * 64, "b" * 64
TAUGHT = Taught(digest=DIGEST, path="taught/part/a")


def evidence(**changes: object) -> Evidence:
    """No escape among sixty bad parts, measured for an aim of 5 %."""
    fields = {
        "measured_at": "2026-11-24T10:00:00Z",
        "by": "a person",
        "scores": "held-out",
        "data_digest": OTHER,
        "taught_digest": DIGEST,
        "accept_below": 0.2,
        "reject_from": 0.8,
        "good_parts": 100,
        "bad_parts": 60,
        "overkills": 1,
        "escapes": 0,
        "overkill_bound": 0.047,
        "escape_bound": 0.0487,
        "review_share": 0.1,
        "max_escape": 0.05,
    }
    return Evidence.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Standing.GUARDED),
        ({"max_escape": None}, Standing.ASSISTING),
        ({"max_escape": 0.01}, Standing.ASSISTING),
        ({"bad_parts": 8, "escape_bound": 0.312}, Standing.LEARNING),
        ({"bad_parts": 0, "escape_bound": None}, Standing.LEARNING),
        ({"taught_digest": OTHER}, Standing.UNTAUGHT),
        ({"taught_digest": None}, Standing.UNTAUGHT),
    ],
    ids=["aim kept", "no aim", "aim missed", "loose", "good parts only", "other artefact", "no artefact"],
)
def test_evidence_gives_the_standing(changes: dict[str, object], expected: Standing) -> None:
    """A bound within the aim guards; one that is loose, missing or of another artefact does not accept."""
    assert standing_of(evidence(**changes), TAUGHT, 0.2, 0.8) is expected


def test_a_recipe_without_evidence_is_untaught_and_accepts_nothing() -> None:
    """Whatever its model says of itself."""
    assert standing_of(None, None, 0.2, 0.8) is Standing.UNTAUGHT
    assert [each for each in Standing if each.may_accept] == [Standing.ASSISTING, Standing.GUARDED]


@pytest.mark.parametrize(
    ("accept_below", "reject_from", "expected"),
    [
        (0.1, 0.8, Standing.GUARDED),
        (0.2, 0.9, Standing.GUARDED),
        (0.3, 0.8, Standing.LEARNING),
        (0.2, 0.7, Standing.LEARNING),
    ],
)
def test_thresholds_moved_by_hand_void_the_evidence_unless_they_are_safer(
    accept_below: float, reject_from: float, expected: Standing
) -> None:
    """Accepting or rejecting more than was measured is measured no longer."""
    assert standing_of(evidence(), TAUGHT, accept_below, reject_from) is expected


@pytest.mark.parametrize(
    "changes",
    [{"escapes": 61}, {"overkills": 101}, {"bad_parts": 0}, {"escape_bound": None}, {"good_parts": 0}],
)
def test_evidence_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    """More mistakes than parts, or a bound without parts."""
    with pytest.raises(ValidationError):
        evidence(**changes)


@pytest.mark.parametrize("path", ["/etc/taught", "../taught", "taught\\part"])
def test_an_artefact_lies_below_its_recipe(path: str) -> None:
    """No path out of the recipes folder."""
    with pytest.raises(ValidationError, match="below the recipe"):
        Taught(digest=DIGEST, path=path)
