"""The report is data for programs and a page for the person who signs it."""

import re
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from schemas.report import Cause, Diagnosis
from services.api.negotiation import best_match
from services.infra.stores.archive import Archive
from services.infra.stores.results import Signature
from tests.api.conftest import Submit
from tests.api.line import DIAGNOSIS, Line, encoded, picture, png

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def reported(submit: Submit, line: Line) -> str:
    """The address of a written report."""
    result_id = submit(lot_id="LOT-7").json()["result_id"]
    line.decide(0.93)
    line.diagnose()
    return f"/v1/reports/{result_id}"


def test_rest_without_the_pages_gives_a_report_as_data_alone(line: Line, reported: str) -> None:
    """The pages stand on REST; without them text/html cannot be had, and JSON can."""
    app = line.app()
    app.state.render_report = None
    with TestClient(app) as rest:
        assert rest.get(reported, headers={"Accept": "text/html"}).status_code == 406
        assert rest.get(reported, headers=HTML).headers["Content-Type"] == "application/json"


def test_a_browser_gets_a_page_and_a_program_gets_data(client: TestClient, reported: str) -> None:
    """Accept decides; whoever asks for neither is told what there is."""
    assert client.get(reported, headers=HTML).headers["Content-Type"].startswith("text/html")
    assert client.get(reported).headers["Content-Type"] == "application/json"
    refused = client.get(reported, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_the_page_holds_what_an_auditor_asks_for(client: TestClient, reported: str) -> None:
    """Part, lot, verdict, scores, thresholds, every field of the diagnosis, reasoning, versions, digest."""
    page = client.get(reported, headers=HTML).text
    report = client.get(reported).json()

    for text in (
        *("SN-1", "LOT-7", "station-surface", "REJECT", "93.0 %", "35.0 %", "65.0 %", "weld spatter"),
        *(DIAGNOSIS.defect, DIAGNOSIS.where, DIAGNOSIS.severity, DIAGNOSIS.containment),
        *DIAGNOSIS.evidence,
        *DIAGNOSIS.corrective_actions,
        *(cause.cause for cause in DIAGNOSIS.probable_causes),
        *(report["reasoning"], report["frame"]["digest"], report["versions"]["model_digest"][:12]),
    ):
        assert text in page, text


def test_the_page_needs_nothing_from_elsewhere(client: TestClient, reported: str) -> None:
    """It is saved, mailed and printed without a network: image inside, no script, no link out."""
    answered = client.get(reported, headers=HTML)

    assert re.findall(r"""(?:src|href)=(?!["']data:)""", answered.text) == []
    assert "<script" not in answered.text
    assert "http:" not in answered.text
    assert "https:" not in answered.text
    assert "default-src 'none'" in answered.headers["Content-Security-Policy"]


def test_the_mark_of_a_draft_goes_with_the_signature(client: TestClient, line: Line, reported: str) -> None:
    """DRAFT stands on the page until a person signed; then the name does."""
    draft = client.get(reported, headers=HTML).text
    line.store()
    line.results.sign(reported.rpartition("/")[2], Signature(signed_by="j.doe", signed_at=datetime.now(UTC)))
    signed = client.get(reported, headers=HTML).text

    assert "DRAFT" in draft
    assert "j.doe" not in draft
    assert "DRAFT" not in signed
    assert "j.doe" in signed
    assert client.get(reported).json()["state"] == "SIGNED"


def test_words_of_a_model_stay_words(submit: Submit, client: TestClient, line: Line) -> None:
    """What a model writes is shown and never run, whatever it writes."""
    evil = "<script>alert(1)</script>"
    result_id = submit().json()["result_id"]
    line.decide(0.93)
    line.diagnose(
        Diagnosis(
            **(
                DIAGNOSIS.model_dump()
                | {"where": evil, "probable_causes": (Cause(cause=evil, likelihood="low"),)}
            )
        )
    )
    page = client.get(f"/v1/reports/{result_id}", headers=HTML).text

    assert evil not in page
    assert "&lt;script&gt;" in page


def test_the_page_shows_an_image_that_browsers_do_not(submit: Submit, client: TestClient, line: Line) -> None:
    """A TIFF is shown as PNG; the digest is still that of what came in."""
    result = submit(data=encoded(picture(), "TIFF")).json()
    line.decide(0.93)
    line.diagnose()
    page = client.get(f"/v1/reports/{result['result_id']}", headers=HTML).text

    assert "data:image/png;base64," in page
    assert result["frame"]["digest"] in page


def test_the_page_says_when_the_image_is_gone(client: TestClient, line: Line, reported: str) -> None:
    """A report outlives its pixels; while they are archived it shows them."""
    line.store()
    gone = client.get(reported, headers=HTML).text
    verdict = line.results.get(reported.rpartition("/")[2]).verdict
    Archive(line.settings.archive_dir).put([(verdict, png())])

    assert "no longer kept" in gone
    assert "data:image/png;base64," in client.get(reported, headers=HTML).text


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html", "text/html"),
        ("text/*", "text/html"),
        ("application/json;q=0.5, text/html;q=0.6", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("TEXT/HTML", "text/html"),
    ],
)
def test_the_accept_header_is_weighed(accept: str | None, chosen: str) -> None:
    """The most specific range gives a type its weight, as RFC 9110 (12.5.1) says."""
    assert best_match(accept, ["application/json", "text/html"]) == chosen
