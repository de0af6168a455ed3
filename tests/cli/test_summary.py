"""What summary.json says: counted from the verdicts and reports themselves."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas import (
    ClassScore,
    Decision,
    FrameRef,
    PartIdentity,
    ProcessingTimes,
    Recipe,
    Verdict,
    Versions,
)
from services.cli.demo.samples import DemoSample
from services.cli.demo.summary import SampleOutcome, summarise
from services.cli.places import RECIPES
from services.infra.intake import load_recipe

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DIGEST = "0" * 64


@pytest.fixture
def recipe() -> Recipe:
    """The recipe of the microscope: good or damaged."""
    return load_recipe(RECIPES / "microscope.yaml")


def outcome(
    recipe: Recipe, label: str, predicted: str, decision: Decision, queue_ms: float = 1.0
) -> SampleOutcome:
    """One part known as `label`, judged `predicted` with probability 0.9."""
    sample = DemoSample(
        file=f"{label}.png", recipe_id=recipe.recipe_id, label=label, source="test", licence="none"
    )
    scores = tuple(
        ClassScore(name=kind.name, probability=0.9 if kind.name == predicted else 0.1)
        for kind in recipe.classes
    )
    damaged = next(score for score in scores if score.name == "damaged")
    verdict = Verdict(
        result_id="r-1",
        job_id="j-1",
        part=PartIdentity(
            part_id=sample.part_id,
            station_id=recipe.station_id,
            camera_id="camera",
            recipe_id=recipe.recipe_id,
            recipe_version=recipe.version,
        ),
        frame=FrameRef(
            digest=DIGEST, media_type="image/png", width=56, height=56, size_bytes=100, captured_at=NOW
        ),
        decision=decision,
        defect_class=None if decision is Decision.ACCEPT else "damaged",
        defect_probability=damaged.probability,
        scores=scores,
        versions=Versions(code_version="1", model_name="m", model_digest=DIGEST, recipe_digest=DIGEST),
        processing_times=ProcessingTimes(
            start_time=NOW,
            end_time=NOW + timedelta(milliseconds=10),
            queue_ms=queue_ms,
            decode_ms=2.0,
            engine_ms=7.0,
        ),
        creation_time=NOW,
    )
    return SampleOutcome(sample, recipe, verdict, report=None)


def test_every_decision_is_counted_also_the_absent_ones(recipe: Recipe) -> None:
    """A reader never has to guess whether a missing key means zero."""
    summary = summarise([outcome(recipe, "good", "good", Decision.ACCEPT)])

    assert summary.decisions == {
        Decision.ACCEPT: 1,
        Decision.REVIEW: 0,
        Decision.REJECT: 0,
        Decision.NOT_INSPECTED: 0,
    }


def test_balanced_accuracy_does_not_let_the_frequent_class_hide_the_rare_one(recipe: Recipe) -> None:
    """Three good parts right and the one damaged part wrong: 75 % in all, 50 % balanced."""
    good = [outcome(recipe, "good", "good", Decision.ACCEPT)] * 3
    summary = summarise([*good, outcome(recipe, "damaged", "good", Decision.ACCEPT)])

    assert summary.accuracy.all == 0.75
    assert summary.accuracy.balanced == {"microscope": 0.5}
    assert summary.escapes == 1


def test_overkill_is_a_good_part_rejected(recipe: Recipe) -> None:
    """A good part sent to REVIEW is not yet lost."""
    summary = summarise(
        [
            outcome(recipe, "good", "damaged", Decision.REJECT),
            outcome(recipe, "good", "good", Decision.REVIEW),
        ]
    )

    assert summary.overkill == 1
    assert summary.escapes == 0


def test_the_total_time_begins_with_the_wait(recipe: Recipe) -> None:
    """Queue plus work: what the line waited for."""
    summary = summarise([outcome(recipe, "good", "good", Decision.ACCEPT, queue_ms=90.0)])

    assert summary.milliseconds["verdict_total"] == {"p50": 100.0, "p95": 100.0, "p99": 100.0}
    assert "report_total" not in summary.milliseconds
