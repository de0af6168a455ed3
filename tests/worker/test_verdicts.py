"""The laws of the decision: scores are a distribution, temperature keeps order, thresholds are exact."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.evidence import Evidence
from schemas.recipe import DefectClass, Recipe, Thresholds
from schemas.verdict import Decision
from services.infra.process.errors import EngineFailed
from worker.verdicts import decide, judge, softmax

log_probabilities = st.lists(st.floats(-200.0, 0.0), min_size=2, max_size=12)
temperatures = st.floats(0.05, 10.0)


def recipe_of(accept_below: float = 0.35, reject_from: float = 0.65, temperature: float = 1.0) -> Recipe:
    """A recipe of one acceptable class and two defects, measured at its thresholds."""
    measured = Evidence(
        measured_at=datetime(2026, 11, 1, tzinfo=UTC),
        by="the tests",
        scores="held-out",
        data_digest="0" * 64,
        accept_below=accept_below,
        reject_from=reject_from,
        good_parts=400,
        bad_parts=400,
        overkills=0,
        escapes=0,
        overkill_bound=0.01,
        escape_bound=0.01,
        review_share=0.0,
    )
    return Recipe(
        evidence=measured,
        recipe_id="surface",
        version=1,
        station_id="station-surface",
        part="machined surface",
        classes=(
            DefectClass(name="good", wording="good", severity="none", acceptable=True),
            DefectClass(name="scratch", wording="scratch", severity="minor"),
            DefectClass(name="dent", wording="dent", severity="major"),
        ),
        thresholds=Thresholds(accept_below=accept_below, reject_from=reject_from, temperature=temperature),
        deadline_ms=5000,
    )


@given(log_probabilities, temperatures)
def test_probabilities_sum_to_one(values: list[float], temperature: float) -> None:
    """Whatever the engine returns and however it is calibrated, the scores are a distribution."""
    probabilities = softmax(values, temperature)
    assert math.isclose(math.fsum(probabilities), 1.0, abs_tol=1e-9)
    assert all(0.0 <= probability <= 1.0 for probability in probabilities)


@given(log_probabilities, temperatures)
def test_temperature_keeps_the_order_of_classes(values: list[float], temperature: float) -> None:
    """Calibration changes how sure a verdict is, never which class is the likeliest."""
    probabilities = softmax(values, temperature)
    for one, other in zip(range(len(values)), range(1, len(values)), strict=False):
        if values[one] < values[other]:
            assert probabilities[one] <= probabilities[other]


@given(st.floats(-20.0, 0.0), st.floats(-20.0, 0.0), st.floats(1.0, 5.0))
def test_a_higher_temperature_is_never_surer(one: float, other: float, temperature: float) -> None:
    """Dividing the log-probabilities flattens the distribution."""
    assert max(softmax([one, other], temperature * 2)) <= max(softmax([one, other], temperature)) + 1e-12


@given(log_probabilities, st.floats(-50.0, 0.0))
def test_a_common_offset_changes_nothing(values: list[float], offset: float) -> None:
    """Only differences count, so a shared prefix of the choices drops out."""
    shifted = softmax([value + offset for value in values], 1.0)
    assert shifted == pytest.approx(softmax(values, 1.0), abs=1e-9)


@pytest.mark.parametrize("values", [(math.nan, -1.0), (-1.0, math.inf), (-math.inf, -math.inf)])
def test_numbers_that_are_no_log_probabilities_are_refused(values: tuple[float, ...]) -> None:
    """A network that overflowed gives a typed error, never a decision."""
    with pytest.raises(EngineFailed) as caught:
        softmax(values, 1.0)
    assert caught.value.problem().code == "engine-failed"


def test_an_impossible_class_has_probability_zero() -> None:
    """Minus infinity is a legal answer: the model rules the class out."""
    assert softmax((0.0, -math.inf), 1.0) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.0, Decision.ACCEPT),
        (0.3499, Decision.ACCEPT),
        (0.35, Decision.REVIEW),
        (0.6499, Decision.REVIEW),
        (0.65, Decision.REJECT),
        (1.0, Decision.REJECT),
    ],
)
def test_the_thresholds_are_exact(probability: float, decision: Decision) -> None:
    """Below T1 ACCEPT, T1 itself is REVIEW, T2 itself is REJECT."""
    assert decide(probability, Thresholds(accept_below=0.35, reject_from=0.65)) is decision


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_a_likelier_defect_never_gets_a_milder_decision(
    one: float, other: float, t1: float, gap: float
) -> None:
    """The decision is monotonic in the defect probability for every pair of thresholds."""
    thresholds = Thresholds(accept_below=t1, reject_from=t1 + gap * (1.0 - t1))
    order = [Decision.ACCEPT, Decision.REVIEW, Decision.REJECT]
    low, high = sorted((one, other))
    assert order.index(decide(low, thresholds)) <= order.index(decide(high, thresholds))


@given(st.lists(st.floats(-30.0, 0.0), min_size=3, max_size=3), temperatures)
def test_a_judgement_is_consistent(values: list[float], temperature: float) -> None:
    """Scores, defect probability, decision and defect class never contradict each other."""
    recipe = recipe_of(temperature=temperature)
    judgement = judge(values, recipe)
    good, scratch, dent = judgement.scores
    assert (good.name, scratch.name, dent.name) == ("good", "scratch", "dent")
    assert judgement.defect_probability is not None
    assert judgement.defect_probability == pytest.approx(scratch.probability + dent.probability)
    assert judgement.decision is decide(judgement.defect_probability, recipe.thresholds)
    if judgement.decision is Decision.ACCEPT:
        assert judgement.defect_class is None
    else:
        assert judgement.defect_class == max((scratch, dent), key=lambda score: score.probability).name


def test_two_halves_of_a_defect_reject_together() -> None:
    """A part that is either scratched or dented is bad, though each class alone stays below the threshold."""
    judgement = judge([math.log(0.2), math.log(0.45), math.log(0.35)], recipe_of())
    assert judgement.decision is Decision.REJECT
    assert judgement.defect_class == "scratch"
