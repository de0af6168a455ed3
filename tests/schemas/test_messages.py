"""Every message is parsed from a golden example, written back the same, closed and frozen."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas import (
    Diagnosis,
    DiagnosisJob,
    DiagnosisReport,
    FrameRef,
    InspectionJob,
    Message,
    PartIdentity,
    Problem,
    Recipe,
    Verdict,
)

GOLDEN = Path(__file__).parent / "golden"

EXAMPLES: dict[str, type[Message]] = {
    "part_identity": PartIdentity,
    "frame_ref": FrameRef,
    "inspection_job": InspectionJob,
    "diagnosis_job": DiagnosisJob,
    "verdict": Verdict,
    "verdict_not_inspected": Verdict,
    "diagnosis": Diagnosis,
    "diagnosis_report": DiagnosisReport,
    "problem": Problem,
    "recipe": Recipe,
}

each_example = pytest.mark.parametrize("name", EXAMPLES)


def golden_text(name: str) -> str:
    """The golden example as it lies on disk."""
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


def test_every_golden_file_has_its_test() -> None:
    """No example lies beside the tests unread."""
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EXAMPLES)


@each_example
def test_a_message_is_read_and_written_back_the_same(name: str) -> None:
    """The golden JSON survives a round trip, with every field in it."""
    message = EXAMPLES[name].model_validate_json(golden_text(name))
    assert json.loads(message.model_dump_json()) == json.loads(golden_text(name))
    assert EXAMPLES[name].model_validate_json(message.model_dump_json()) == message


@each_example
def test_an_unknown_field_is_refused(name: str) -> None:
    """A misspelt field is an error that names it, never silently dropped."""
    record = json.loads(golden_text(name)) | {"colour": "red"}
    with pytest.raises(ValidationError) as caught:
        EXAMPLES[name].model_validate(record)
    assert [error["loc"] for error in caught.value.errors()] == [("colour",)]


@each_example
def test_a_message_cannot_be_changed(name: str) -> None:
    """What has been sent stays as it was sent."""
    message = EXAMPLES[name].model_validate_json(golden_text(name))
    field = next(iter(type(message).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(message, field, getattr(message, field))


@each_example
def test_every_field_of_a_message_is_required_or_has_its_default(name: str) -> None:
    """Leaving out a field either names it in the error or gives the documented default."""
    model, record = EXAMPLES[name], json.loads(golden_text(name))
    for field, info in model.model_fields.items():
        shortened = {key: value for key, value in record.items() if key != field}
        if info.is_required():
            with pytest.raises(ValidationError, match=field):
                model.model_validate_json(json.dumps(shortened))
        elif name != "verdict_not_inspected":
            message = model.model_validate_json(json.dumps(shortened))
            assert getattr(message, field) == info.default
