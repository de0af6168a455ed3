"""The live feed over a real socket: in order, resumable, and bounded."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from services.api import app as application
from tests.api.line import Line, form

Told = tuple[str, str, dict[str, str]]


@contextmanager
def _listening(client: httpx.Client, last_event_id: str | None = None) -> Iterator[Iterator[Told]]:
    """The events of an open stream as (id, kind, data)."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with client.stream("GET", "/v1/events", headers=headers) as answered:
        assert answered.status_code == 200
        assert answered.headers["Content-Type"].startswith("text/event-stream")
        yield _parsed(answered.iter_lines())


def _parsed(lines: Iterator[str]) -> Iterator[Told]:
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}


def test_a_listener_hears_what_happens_and_resumes_where_it_stopped(served: httpx.Client, line: Line) -> None:
    """accepted, verdict, report; a second stream from the first event's id repeats only what came after."""
    with _listening(served) as events:
        result_id = served.post("/v1/inspections", **form("key-1")).json()["result_id"]
        first = next(events)
        line.decide(0.93)
        line.diagnose()
        rest = [next(events), next(events)]
    with _listening(served, last_event_id=first[0]) as events:
        again = [next(events), next(events)]

    assert [kind for _, kind, _ in (first, *rest)] == ["accepted", "verdict", "report"]
    assert {data["result_id"] for _, _, data in (first, *rest)} == {result_id}
    assert rest[0][2]["decision"] == "REJECT"
    assert again == rest


def test_a_wrong_event_id_is_refused(served: httpx.Client) -> None:
    """The header is checked before the stream begins, while an error can still be told."""
    answered = served.get("/v1/events", headers={"Last-Event-ID": "yesterday"})

    assert answered.status_code == 400
    assert answered.json()["hint"]


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One more listener than there are seats is asked to come back, and gets a seat that was given up."""
    monkeypatch.setattr(application, "LISTENERS_AT_ONCE", 1)
    served: httpx.Client = request.getfixturevalue("served")
    line: Line = request.getfixturevalue("line")
    with _listening(served, last_event_id="0") as events:
        served.post("/v1/inspections", **form("key-1"))
        next(events)
        refused = served.get("/v1/events")
    wait_until = request.getfixturevalue("wait_until")

    assert refused.status_code == 503
    assert line.ledger.events.newest_id() != "0"
    wait_until(lambda: _is_seated(served))


def _is_seated(client: httpx.Client) -> bool:
    with client.stream("GET", "/v1/events", headers={"Last-Event-ID": "0"}) as answered:
        return answered.status_code == 200
