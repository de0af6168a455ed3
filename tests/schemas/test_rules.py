"""What a message refuses: records that contradict themselves."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import schemas
from schemas import DiagnosisJob, FrameRef, InspectionJob, Message, PartIdentity, Recipe, Region, Verdict
from tests.schemas.test_messages import EXAMPLES, golden_text


def changed(name: str, **fields: object) -> Message:
    """The golden example with some fields replaced, read anew."""
    record = json.loads(golden_text(name)) | fields
    return EXAMPLES[name].model_validate_json(json.dumps(record))


def recipe_with(path: str, value: object) -> Message:
    """The golden recipe with one value replaced at a dotted path."""
    record: dict[str, Any] = json.loads(golden_text("recipe"))
    *parents, last = path.split(".")
    place: Any = record
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[last] = value
    return Recipe.model_validate_json(json.dumps(record))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"problem": None}, "needs a problem"),
        ({"scores": [{"name": "good", "probability": 1.0}]}, "neither scores nor a defect"),
        ({"defect_class": "scratch"}, "neither scores nor a defect"),
        ({"defect_probability": 0.0}, "neither scores nor a defect"),
    ],
)
def test_not_inspected_has_a_problem_and_nothing_else(fields: dict[str, object], reason: str) -> None:
    """A part that was not looked at has a reason and no scores."""
    with pytest.raises(ValidationError, match=reason):
        changed("verdict_not_inspected", **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"problem": json.loads(golden_text("problem"))}, "only NOT_INSPECTED has"),
        ({"scores": []}, "needs scores"),
        ({"defect_probability": None}, "needs scores and a defect probability"),
        ({"defect_class": None}, "name a defect class"),
        ({"decision": "ACCEPT"}, "name a defect class"),
        ({"defect_class": "crack"}, "not among the scores"),
        ({"scores": [{"name": "scratch", "probability": 0.5}] * 2}, "scored twice"),
    ],
)
def test_a_decision_agrees_with_its_scores(fields: dict[str, object], reason: str) -> None:
    """An inspected part has scores, and a defect class exactly when it is held back."""
    with pytest.raises(ValidationError, match=reason):
        changed("verdict", **fields)


def test_an_accepted_part_names_no_defect() -> None:
    """ACCEPT with scores and without a defect class is the plain good case."""
    verdict = changed("verdict", decision="ACCEPT", defect_class=None, defect_probability=0.05)
    assert isinstance(verdict, Verdict)
    assert verdict.decision is schemas.Decision.ACCEPT


@pytest.mark.parametrize("probability", [-0.01, 1.01, math.nan, math.inf])
def test_a_probability_lies_between_nought_and_one(probability: float) -> None:
    """NaN and infinity are refused as well."""
    with pytest.raises(ValidationError, match="probability"):
        schemas.ClassScore(name="good", probability=probability)


def test_a_diagnosis_job_explains_its_own_inspection() -> None:
    """The verdict in it carries the same result_id."""
    with pytest.raises(ValidationError, match="not on R-0009"):
        changed("diagnosis_job", result_id="R-0009")


def test_what_was_not_inspected_is_not_diagnosed() -> None:
    """There is no usable frame to write a report on."""
    record = json.loads(golden_text("verdict_not_inspected"))
    with pytest.raises(ValidationError, match="nothing to diagnose"):
        changed("diagnosis_job", verdict=record, result_id=record["result_id"])
    with pytest.raises(ValidationError, match="nothing to diagnose"):
        recipe_with("escalation.decisions", ["NOT_INSPECTED"])


@pytest.mark.parametrize(("width", "height"), [(8193, 10), (10, 8193), (8192, 8192), (0, 10)])
def test_a_frame_beyond_the_cap_is_refused(width: int, height: int) -> None:
    """25 megapixels and 8192 pixels a side bound what decoding can cost."""
    with pytest.raises(ValidationError):
        changed("frame_ref", width=width, height=height)


def test_a_frame_at_the_cap_is_taken() -> None:
    """The largest legal frame: exactly 25 million pixels."""
    frame = changed("frame_ref", width=5000, height=5000)
    assert isinstance(frame, FrameRef)


@pytest.mark.parametrize("moment", ["2026-03-02T07:15:04", "yesterday", ""])
def test_a_moment_needs_its_time_zone(moment: str) -> None:
    """A naive time is refused: two clocks would read it differently."""
    with pytest.raises(ValidationError, match="creation_time"):
        changed("inspection_job", creation_time=moment)


def test_moments_are_kept_in_utc() -> None:
    """The same moment reads the same whatever zone it was sent in."""
    job = changed("inspection_job", creation_time="2026-03-02T08:15:04.150+01:00")
    assert isinstance(job, InspectionJob)
    assert job.creation_time.isoformat() == "2026-03-02T07:15:04.150000+00:00"


@pytest.mark.parametrize("part_id", ["", "a b", "a/b", "../x", ".hidden", "ü", "x" * 129, "a\n"])
def test_an_identifier_is_safe_in_urls_files_and_keys(part_id: str) -> None:
    """What could break a path, a URL or a Redis key is refused."""
    with pytest.raises(ValidationError, match="part_id"):
        changed("part_identity", part_id=part_id)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", fullmatch=True))
def test_every_identifier_of_the_pattern_is_taken(part_id: str) -> None:
    """The pattern is the whole rule."""
    part = changed("part_identity", part_id=part_id)
    assert isinstance(part, PartIdentity)
    assert part.part_id == part_id


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("thresholds.reject_from", 0.2, ("thresholds", "reject_from")),
        ("thresholds.accept_below", 0.0, ("thresholds", "accept_below")),
        ("classes.1.name", "good", ("classes",)),
        ("classes.1.wording", "good", ("classes",)),
        ("classes.1.wording", "scratch, long", ("classes", 1, "wording")),
        ("classes.1.wording", " scratch", ("classes", 1, "wording")),
        ("classes.0.acceptable", False, ("classes",)),
        ("classes.1.severity", "awful", ("classes", 1, "severity")),
        ("prompt.inspect", "Look at the {thing}.", ("prompt", "inspect")),
        ("prompt.inspect", "Look at the {part.", ("prompt", "inspect")),
        ("regions.inspect.width", 0.95, ("regions", "inspect")),
        ("frame_limits.min_sharpness", math.inf, ("frame_limits", "min_sharpness")),
        ("version", 0, ("version",)),
        ("deadline_ms", 0, ("deadline_ms",)),
        ("thresholds.accept_blow", 0.3, ("thresholds", "accept_blow")),
        ("golden", ["a.png"] * 5, ("golden",)),
        ("golden", ["../a.png"], ("golden", 0, "file")),
        ("golden", ["/a.png"], ("golden", 0, "file")),
        ("golden", ["golden\\a.png"], ("golden", 0, "file")),
        ("golden", [""], ("golden", 0, "file")),
    ],
)
def test_a_wrong_recipe_names_the_field(path: str, value: object, field: tuple[str | int, ...]) -> None:
    """The error points at the field itself, so that a person finds the line."""
    with pytest.raises(ValidationError) as caught:
        recipe_with(path, value)
    assert [error["loc"] for error in caught.value.errors()] == [field]


@given(
    x=st.floats(0, 1, exclude_max=True),
    y=st.floats(0, 1, exclude_max=True),
    width=st.floats(0, 1, exclude_min=True),
    height=st.floats(0, 1, exclude_min=True),
)
def test_a_region_lies_inside_the_frame_or_is_refused(
    x: float, y: float, width: float, height: float
) -> None:
    """No region that is taken reaches beyond the frame."""
    inside = x + width <= 1 and y + height <= 1
    try:
        Region(x=x, y=y, width=width, height=height)
    except ValidationError:
        assert not inside
    else:
        assert inside


def test_a_recipe_digest_changes_with_any_value() -> None:
    """Two recipes with the same digest are the same recipe."""
    recipe, again = recipe_with("version", 3), recipe_with("version", 3)
    other = recipe_with("thresholds.accept_below", 0.34)
    repainted = recipe_with("golden.0.digest", "0" * 64)
    assert isinstance(recipe, Recipe)
    assert isinstance(again, Recipe)
    assert isinstance(other, Recipe)
    assert isinstance(repainted, Recipe)
    assert recipe.digest == again.digest
    assert len({recipe.digest, other.digest, repainted.digest}) == 3


def test_a_golden_image_may_be_written_as_its_file_name() -> None:
    """A person lists files; the digest is for programs to fill in."""
    recipe = recipe_with("golden", ["golden/good-1.png"])
    assert isinstance(recipe, Recipe)
    assert recipe.golden == (schemas.GoldenImage(file="golden/good-1.png"),)


def test_the_public_names_are_what_the_package_exports() -> None:
    """`__all__` holds every message of the package, sorted for the reader, and nothing that is missing."""
    messages = {
        name
        for name, value in vars(schemas).items()
        if isinstance(value, type) and issubclass(value, BaseModel)
    }
    assert messages <= set(schemas.__all__)
    assert all(hasattr(schemas, name) for name in schemas.__all__)


def test_diagnosis_jobs_and_reports_carry_the_whole_identity() -> None:
    """Job, verdict and report each carry part, lot, station, camera, recipe and version."""
    for model in (InspectionJob, DiagnosisJob, Verdict, schemas.DiagnosisReport):
        assert model.model_fields["part"].annotation is PartIdentity
