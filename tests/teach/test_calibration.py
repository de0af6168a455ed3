"""A calibrated threshold keeps its promise, and what the parts cannot carry is refused with a number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from services.teach.calibration import Aims, calibrate, parse_share
from services.teach.calibration.thresholds import GRID, accept_threshold, reject_threshold
from services.teach.errors import AimUnreachable, TeachingError
from services.teach.evaluation import Outcome, Outcomes
from services.teach.evaluation.intervals import parts_needed, upper_bound, wilson


def outcomes(good: list[float], bad: list[float], parts: list[str] | None = None) -> Outcomes:
    """Outcomes with these defect probabilities."""
    scores = [*((p, "good") for p in good), *((p, "crack") for p in bad)]
    names: Sequence[str | None] = parts or [None] * len(scores)
    items = [
        Outcome(Path(f"{number}.png"), truth, {"good": 1 - p, "crack": p}, part=part)
        for number, ((p, truth), part) in enumerate(zip(scores, names, strict=True))
    ]
    return Outcomes(("good", "crack"), frozenset({"good"}), tuple(items))


@pytest.mark.parametrize(("parts", "aim"), [(60, 0.05), (120, 0.05), (299, 0.01), (200, 0.1)])
@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_true_escape_rate_passes_the_bound_in_at_most_one_calibration_of_twenty(
    parts: int, aim: float, shift: float
) -> None:
    """200 resamplings of scores whose true rate is known."""
    scores = np.random.default_rng(parts).normal(shift, 1.5, (200, parts))
    found = [accept_threshold(expit(each), aim, 0.95) for each in scores]
    logits = np.log(np.array(found, float) / (1 - np.array(found, float)))
    true_rates = norm.cdf((logits - shift) / 1.5)

    assert None not in found
    assert (true_rates > aim).mean() <= 0.05


def test_the_true_overkill_rate_keeps_its_bound_too() -> None:
    """The same from the other side."""
    scores = np.random.default_rng(1).normal(-2.0, 1.5, (200, 100))
    found = np.array([reject_threshold(expit(each), 0.05, 0.95) for each in scores], float)
    true_rates = norm.sf((np.log(found / (1 - found)) + 2.0) / 1.5)

    assert (true_rates > 0.05).mean() <= 0.05


@pytest.mark.parametrize(("rate", "parts"), [(0.05, 59), (0.01, 299), (0.005, 598)])
def test_the_parts_that_carry_a_bound_are_the_known_ones(rate: float, parts: int) -> None:
    """No escape among 59, 299 and 598 parts bounds the rate by 5, 1 and 0.5 % at 95 %."""
    assert parts_needed(rate) == parts
    assert upper_bound(0, parts) <= rate < upper_bound(0, parts - 1)


def test_an_aim_that_the_parts_cannot_carry_is_refused_with_the_number_that_could() -> None:
    """58 bad parts do not bound escapes by 5 %; 59 do."""
    good = [0.01] * 30
    with pytest.raises(AimUnreachable) as refused:
        calibrate(outcomes(good, [0.99] * 58), Aims(max_escape=0.05), 0.3, 0.7)
    assert "58 bad parts" in refused.value.detail
    assert "59 bad parts" in str(refused.value.hint)
    assert refused.value.errors[0].field == "--max-escape"

    assert calibrate(outcomes(good, [0.99] * 59), Aims(max_escape=0.05), 0.3, 0.7).escapes.bound <= 0.05


def test_good_parts_alone_bound_overkill_and_no_escape() -> None:
    """An escape aim is refused for want of bad parts; an overkill aim is kept, down to accept_below."""
    good = list(np.linspace(0.01, 0.2, 60))
    with pytest.raises(AimUnreachable, match="no bad parts"):
        calibrate(outcomes(good, []), Aims(max_escape=0.05), 0.3, 0.7)

    result = calibrate(outcomes(good, []), Aims(max_overkill=0.05), 0.3, 0.7)

    assert result.overkill.bound <= 0.05
    assert result.reject_from == 0.3
    assert any("escapes cannot" in remark for remark in result.remarks)


def test_bands_that_overlap_leave_nothing_to_review() -> None:
    """Good and bad far apart: one threshold between them keeps both bounds."""
    result = calibrate(outcomes([0.01] * 60, [0.99] * 60), Aims(0.05, 0.05), 0.3, 0.7)

    assert 0.01 < result.accept_below == result.reject_from < 0.99
    assert (result.review_load, result.escapes.count, result.overkill.count) == (0.0, 0, 0)


def test_scores_that_tell_nothing_apart_send_every_good_part_to_a_person() -> None:
    """The bound is kept by accepting none, and the result says so."""
    random = np.random.default_rng(0)
    result = calibrate(
        outcomes(list(random.uniform(0.4, 0.6, 100)), list(random.uniform(0.4, 0.6, 100))),
        Aims(max_escape=0.03, max_overkill=0.03),
        0.3,
        0.7,
    )

    assert result.accepted_good == pytest.approx(0.0, abs=0.05)
    assert result.review_load > 0.9


def test_a_part_escapes_with_its_best_looking_picture() -> None:
    """Three pictures of one bad part are one part, and the lowest score speaks for it."""
    several = outcomes([], [0.9, 0.1, 0.8, 0.9], ["a", "a", "a", "b"])

    assert sorted(several.parts()[1]) == [0.1, 0.9]


def test_the_what_if_table_grows_stricter_line_by_line() -> None:
    """A smaller bound accepts less; beyond what the parts carry there is no threshold, only a number."""
    random = np.random.default_rng(0)
    result = calibrate(
        outcomes(list(expit(random.normal(-2, 1, 200))), list(expit(random.normal(2, 1, 200)))),
        Aims(max_escape=0.05),
        0.3,
        0.7,
    )
    limits = [each.accept_below for each in result.what_if]
    carried = [limit for limit in limits if limit is not None]

    assert carried == sorted(carried, reverse=True)
    assert limits[-1] is None
    assert result.what_if[-1].parts_needed == parts_needed(0.001)


def test_the_grid_is_fixed_and_rises() -> None:
    """No score takes part in what may be chosen."""
    assert (np.diff(GRID) > 0).all()
    assert 0 < GRID[0] < GRID[-1] < 1


@pytest.mark.parametrize(("text", "share"), [("0.5%", 0.005), ("0.005", 0.005), (" 3 %", 0.03)])
def test_a_share_is_read_as_people_write_it(text: str, share: float) -> None:
    """With a percent sign or as a fraction."""
    assert parse_share(text, "--max-escape") == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "few", "0", "100%", "-1%", "5", "nan"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    """Five without its sign would be five hundred per cent."""
    with pytest.raises(TeachingError) as refused:
        parse_share(text, "--max-escape")
    assert refused.value.errors[0].value == text


def test_wilson_agrees_with_its_published_values() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (count, total), (low, high) in published.items():
        assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)
