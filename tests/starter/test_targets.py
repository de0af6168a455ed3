"""What the model is to answer is what the product can read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from schemas.recipe import PromptTexts
from schemas.report import Diagnosis
from starter.pictures.facts import FACTS
from starter.pictures.samples import GOOD, Box, Sample
from starter.pictures.targets import (
    CANNOT_TELL,
    diagnose_text,
    extent,
    inspect_text,
    place,
    reasoning,
    report,
    report_json,
    where,
)
from starter.pictures.vocabulary import KINDS_OF_PART, described_samples

PART, CLASSES = "machined surface", ("good", "dent")


def sample_with(boxes: tuple[Box, ...], label: str = "dent") -> Sample:
    """A sample that only its truth matters of."""
    return Sample(np.zeros((1, 1, 3), np.uint8), PART, CLASSES, label, boxes, None, "made")


@pytest.mark.parametrize("name", ["inspect", "diagnose"])
def test_prompts_are_those_a_recipe_makes(name: str) -> None:
    """The starter is trained on exactly the words it is asked with."""
    template = getattr(PromptTexts(), name)
    build = {"inspect": inspect_text, "diagnose": diagnose_text}[name]
    assert build(PART, CLASSES) == template.format(part=PART, classes=", ".join(CLASSES))


def test_two_hundred_reports_are_valid_diagnoses() -> None:
    """Each parses as the schema that constrains the model, and says what was put in."""
    samples = list(described_samples())
    for sample in samples[:: max(1, len(samples) // 200)]:
        diagnosis = Diagnosis.model_validate_json(report_json(sample))
        assert diagnosis.defect == ("none" if sample.label == GOOD else sample.label)
        assert (diagnosis.severity == "none") == (sample.label == GOOD)


def test_report_keys_come_in_the_order_of_the_schema() -> None:
    """Constrained generation writes the fields in this order; training must not teach another."""
    assert list(report(sample_with(()))) == list(Diagnosis.model_fields)


def test_every_class_of_every_part_has_its_facts() -> None:
    """No label is left without a severity, a look and causes."""
    labels = {label for _, classes in KINDS_OF_PART for label in classes}
    assert labels == set(FACTS)


def test_reports_are_compact_json() -> None:
    """No space is spent between marks."""
    text = report_json(sample_with(()))
    assert text == json.dumps(json.loads(text), separators=(",", ":"))


def test_places_are_named_by_ninths() -> None:
    """The origin is at the top left."""
    assert place(Box("x", 0.0, 0.0, 0.1, 0.1)) == "upper left"
    assert place(Box("x", 0.9, 0.4, 1.0, 0.6)) == "middle right"
    assert place(Box("x", 0.4, 0.4, 0.6, 0.6)) == "centre"


def test_where_names_each_place_once_from_the_top() -> None:
    """Two defects in one corner are one place; without boxes nobody can tell."""
    low, high = Box("x", 0.8, 0.8, 0.9, 0.9), Box("x", 0.1, 0.1, 0.2, 0.2)
    assert where((low, high, low)) == "upper left and lower right"
    assert where(()) == CANNOT_TELL


def test_extent_follows_the_longest_side() -> None:
    """A thin line across the picture is large."""
    assert extent((Box("x", 0.0, 0.5, 0.9, 0.51),)) == "large"
    assert extent((Box("x", 0.0, 0.0, 0.05, 0.05),)) == "small"


def test_reasoning_leads_from_what_is_seen_to_the_class() -> None:
    """Two to four sentences that end in the label; a good part shows no deviation."""
    bad = sample_with((Box("dent", 0.0, 0.0, 0.2, 0.2),))
    good = replace(bad, label=GOOD, boxes=())
    for sample in (bad, good, replace(bad, boxes=())):
        assert 2 <= reasoning(sample).count(".") <= 4
        assert reasoning(sample).endswith(f"{sample.label}.")
    assert "upper left" in reasoning(bad)
    assert "I see no deviation" in reasoning(good)
