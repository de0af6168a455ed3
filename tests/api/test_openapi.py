"""The description of the API: checked in, served, and kept to by the API itself."""

from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from services.api.openapi import as_text
from tests.api.line import ROOT, Line

WRITE_IT = "run `python -m services.web --openapi > docs/openapi.json` and read the difference"

ASKS_NOTHING = ["/v1/status", "/healthz", "/metrics"]
"""Paths without a parameter or a body, where a caller can get nothing wrong."""


@pytest.fixture
def described(line: Line) -> BaseSchema:
    """The API by its own description, but for an endless stream and an answer that may well be 503."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", line.app())
    return schema.exclude(path=["/v1/events", "/readyz"])


def test_the_checked_in_description_is_the_served_one(line: Line, client: TestClient) -> None:
    """A change of the API is a change of docs/openapi.json, so that it is seen by whoever reviews it."""
    text = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")

    assert text == as_text(line.app()), WRITE_IT
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", GenerationMode)
def test_the_api_keeps_its_description(described: BaseSchema, mode: GenerationMode) -> None:
    """What fits the description, and what just misses it, gets an answer that the description foresees."""
    if mode is GenerationMode.NEGATIVE:
        described = described.exclude(path=ASKS_NOTHING)
    for found in described.get_all_operations():
        assert isinstance(found, Ok)
        _keeps_to_it(found.ok().as_strategy(generation_mode=mode))


def _keeps_to_it(cases: SearchStrategy[Case[Any]]) -> None:
    @settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def answers(case: Case[Any]) -> None:
        # A made-up recipe, cursor or image fits the description and is rightly refused.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    answers()
