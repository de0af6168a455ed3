"""The description of the API: checked in, served, and kept to by the API itself."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import BaseSchema, Case

from services.api.openapi import as_text
from tests.api.line import ROOT, Line

WRITE_IT = "run `python -m services.api --openapi > docs/openapi.json` and read the difference"


@pytest.fixture
def described(line: Line) -> BaseSchema:
    """The API by its own description, without the stream that never ends."""
    line.beat()
    schema = schemathesis.openapi.from_asgi("/openapi.json", line.app())
    return schema.exclude(path="/v1/events")


def test_the_checked_in_description_is_the_served_one(line: Line, client: httpx.Client) -> None:
    """A change of the API is a change of docs/openapi.json, so that it is seen by whoever reviews it."""
    text = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")

    assert text == as_text(line.app()), WRITE_IT
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_its_description(case: Case) -> None:
    """Whatever fits the description, or just misses it, gets an answer that the description foresees."""
    case.call_and_validate()
