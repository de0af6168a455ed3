"""What became of a part stands under its id: in the ledger while it is live, then in the database."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from schemas.verdict import Decision
from services.infra.stores.archive import Archive
from tests.api.conftest import Submit
from tests.api.line import Line, encoded, picture, png


def test_an_inspection_is_followed_to_its_report(submit: Submit, client: TestClient, line: Line) -> None:
    """waiting, diagnosing, reported; the report's link appears when the report does."""
    place = submit().headers["Location"]
    stages = [client.get(place).json()["stage"]]
    line.decide(0.93)
    seen = client.get(place)
    stages.append(seen.json()["stage"])
    assert seen.json()["verdict"]["decision"] == "REJECT"
    assert seen.json()["links"]["report"] is None
    assert "Retry-After" in seen.headers
    line.diagnose()
    seen = client.get(place)
    stages.append(seen.json()["stage"])

    assert stages == ["waiting", "diagnosing", "reported"]
    assert "Retry-After" not in seen.headers
    assert client.get(seen.json()["links"]["report"]).json()["diagnosis"]["defect"] == "scratch"


def test_the_answer_is_the_same_after_the_ledger_forgot(
    submit: Submit, client: TestClient, line: Line
) -> None:
    """The database alone gives the same inspection and the same report."""
    place = submit().headers["Location"]
    line.decide(0.93)
    line.diagnose()
    live = client.get(place).json()
    line.store()
    with TestClient(replace(line, ledger=line.empty_ledger()).app()) as later:
        assert later.get(place).json() == live
        assert later.get(live["links"]["report"]).json() == client.get(live["links"]["report"]).json()


def test_the_image_is_found_in_the_store_then_in_the_archive(
    submit: Submit, client: TestClient, line: Line
) -> None:
    """The bytes come back as they came in, wherever they are kept; once dropped, the answer says why."""
    data = encoded(picture(), "JPEG")
    url = submit(data=data).json()["links"]["image"]
    verdict = line.decide(0.01)
    fresh = client.get(url)
    Archive(line.settings.archive_dir).put([(verdict, data)])
    line.store()
    archived = client.get(url)
    Archive(line.settings.archive_dir).path(verdict).unlink()
    dropped = client.get(url)

    assert fresh.content == archived.content == data
    assert fresh.headers["Content-Type"] == archived.headers["Content-Type"] == "image/jpeg"
    assert dropped.status_code == 404
    assert dropped.json()["code"] == "frame-missing"
    assert "retention" in dropped.json()["hint"]


@pytest.mark.parametrize(
    ("probability", "why"),
    [(None, "waits for its verdict"), (0.01, "asks for no report"), (0.93, "being written")],
)
def test_a_report_that_is_not_there_says_why(
    submit: Submit, client: TestClient, line: Line, probability: float | None, why: str
) -> None:
    """Not yet, not at all, and being written are three things to a person who waits."""
    result_id = submit().json()["result_id"]
    if probability is not None:
        line.decide(probability)
    answered = client.get(f"/v1/reports/{result_id}")

    assert answered.status_code == 404
    assert why in answered.json()["detail"]


def test_results_come_newest_first_in_pages(submit: Submit, client: TestClient, line: Line) -> None:
    """Following `next` shows every result once; the header and the body name the same page."""
    for number in range(7):
        submit(f"key-{number}", part_id=f"SN-{number}")
        line.decide(0.01)
    line.store()

    seen: list[str] = []
    url: str | None = "/v1/results?limit=3&recipe=surface"
    while url is not None:
        answered = client.get(url)
        body = answered.json()
        assert len(body["results"]) <= 3
        seen += [row["verdict"]["part"]["part_id"] for row in body["results"]]
        url = body["next"]
        assert answered.headers.get("Link") == (f'<{url}>; rel="next"' if url else None)

    assert seen == [f"SN-{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("decision=REJECT", {"SN-b"}),
        ("decision=ACCEPT", {"SN-a", "SN-c"}),
        ("defect_class=scratch", {"SN-b"}),
        ("part_id=SN-a", {"SN-a"}),
        ("lot_id=LOT-2", {"SN-b", "SN-c"}),
        ("station=station-board", {"SN-c"}),
        ("recipe=board", {"SN-c"}),
        ("recipe=board&decision=REJECT", set()),
        ("since=2000-01-01T00:00:00Z", {"SN-a", "SN-b", "SN-c"}),
        ("until=2000-01-01T00:00:00Z", set()),
    ],
)
def test_results_are_narrowed(
    submit: Submit, client: TestClient, line: Line, query: str, parts: set[str]
) -> None:
    """Each filter narrows, and two together narrow further."""
    asked = (
        ("SN-a", "LOT-1", "surface", 0.01),
        ("SN-b", "LOT-2", "surface", 0.93),
        ("SN-c", "LOT-2", "board", 0.01),
    )
    for part_id, lot_id, recipe_id, probability in asked:
        submit(part_id, part_id=part_id, lot_id=lot_id, recipe_id=recipe_id)
        line.decide(probability)
    line.store()
    rows = client.get(f"/v1/results?{query}").json()["results"]

    assert {row["verdict"]["part"]["part_id"] for row in rows} == parts


def test_the_database_away_does_not_hide_live_verdicts(submit: Submit, line: Line) -> None:
    """What the ledger knows is told; only what it has forgotten waits for the database."""
    from services.infra.stores.results import ResultStore

    place = submit(data=png()).headers["Location"]
    line.decide(0.01)
    broken = replace(line, results=ResultStore("postgresql+psycopg://nobody@127.0.0.1:1/nothing"))
    with TestClient(broken.app()) as client:
        assert client.get(place).json()["verdict"]["decision"] == Decision.ACCEPT
        away = client.get("/v1/results")

    assert away.status_code == 503
    assert away.json()["code"] == "store-unavailable"
    assert int(away.headers["Retry-After"]) > 0
