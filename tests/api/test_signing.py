"""A person signs a report: once, by name, and for good."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from threading import Barrier

import httpx
import pytest
from fastapi.testclient import TestClient

from services.infra.stores.results import Signature
from tests.api.conftest import Submit
from tests.api.line import Line

HTML = {"Accept": "text/html"}
JSON = {"Content-Type": "application/json"}
ADA = {"signed_by": "Ada Lovelace", "remark": "Seen under the microscope."}
PEOPLE = 8
REPORTS = 20


@pytest.fixture
def written(submit: Submit, line: Line) -> str:
    """The address of a report that is written and not filed yet."""
    result_id = submit().json()["result_id"]
    line.decide(0.93)
    line.diagnose()
    return f"/v1/reports/{result_id}"


@pytest.fixture
def report(written: str, line: Line) -> str:
    """The address of a report that can be signed."""
    line.store()
    return written


def kept(line: Line, report: str) -> Signature | None:
    """The signature in the database."""
    return line.results.get(report.rpartition("/")[2]).signature


def test_a_signed_report_has_no_watermark_and_names_who_signed(client: TestClient, report: str) -> None:
    """The answer is the signed report; page, inspection and list say the same from then on."""
    draft = client.get(report, headers=HTML).text
    answered = client.post(f"{report}/signature", json=ADA)
    page = client.get(report, headers=HTML).text
    signature = client.get(report.replace("reports", "inspections")).json()["signature"]

    assert "DRAFT" in draft
    assert answered.status_code == HTTPStatus.OK
    assert answered.json() == client.get(report).json()
    assert answered.json()["state"] == "SIGNED"
    assert "DRAFT" not in page
    assert 'class="watermark"' not in page
    assert "Signed by <b>Ada Lovelace</b>" in page
    assert "Remark: Seen under the microscope." in page
    assert (signature["signed_by"], signature["remark"]) == (ADA["signed_by"], ADA["remark"])
    assert client.get("/v1/results").json()["results"][0]["is_signed"]


def test_signing_twice_the_same_changes_nothing(client: TestClient, line: Line, report: str) -> None:
    """A repeated request gets the same answer, also with spaces around the name; the first moment stays."""
    first = client.post(f"{report}/signature", json=ADA)
    signature = kept(line, report)
    second = client.post(f"{report}/signature", json=ADA | {"signed_by": "  Ada Lovelace "})

    assert second.status_code == HTTPStatus.OK
    assert second.json() == first.json()
    assert signature is not None
    assert kept(line, report) == signature


@pytest.mark.parametrize(
    "other",
    [ADA | {"signed_by": "Bob"}, ADA | {"remark": "Not seen."}, {"signed_by": ADA["signed_by"]}],
    ids=["name", "remark", "no remark"],
)
def test_another_signature_is_refused_and_the_first_stays(
    client: TestClient, line: Line, report: str, other: dict[str, str]
) -> None:
    """409 says who signed, and what to do for a new report."""
    client.post(f"{report}/signature", json=ADA)
    signature = kept(line, report)
    answered = client.post(f"{report}/signature", json=other)

    assert answered.status_code == HTTPStatus.CONFLICT
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.json()["code"] == "already-signed"
    assert "Ada Lovelace" in answered.json()["detail"]
    assert answered.json()["hint"]
    assert kept(line, report) == signature


def test_an_unknown_part_cannot_be_signed(client: TestClient) -> None:
    """404, with where to look the id up."""
    answered = client.post("/v1/reports/R-0/signature", json=ADA)

    assert answered.status_code == HTTPStatus.NOT_FOUND
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert "GET /v1/results" in answered.json()["hint"]


def _waiting(_: Line) -> None:
    """Nobody has looked at the part yet."""


def _being_written(line: Line) -> None:
    line.decide(0.93)
    line.store()


def _accepted(line: Line) -> None:
    line.decide(0.01)
    line.store()


def _not_filed(line: Line) -> None:
    line.decide(0.93)
    line.diagnose()


@pytest.mark.parametrize(
    ("come_so_far", "why"),
    [
        (_waiting, "still waits for its verdict"),
        (_being_written, "still being written"),
        (_accepted, "asks for no report"),
        (_not_filed, "not filed yet"),
    ],
)
def test_a_part_without_a_filed_report_cannot_be_signed(
    submit: Submit, client: TestClient, line: Line, come_so_far: Callable[[Line], None], why: str
) -> None:
    """404 says how far the part has come; nothing is kept for later."""
    result_id = submit().json()["result_id"]
    come_so_far(line)
    answered = client.post(f"/v1/reports/{result_id}/signature", json=ADA)

    assert answered.status_code == HTTPStatus.NOT_FOUND
    assert why in answered.json()["detail"]
    assert answered.json()["hint"]
    assert client.get(f"/v1/inspections/{result_id}").json()["signature"] is None


def test_a_report_can_be_signed_as_soon_as_it_is_filed(client: TestClient, line: Line, written: str) -> None:
    """Who was refused a moment too early asks again."""
    early = client.post(f"{written}/signature", json=ADA)
    line.store()

    assert early.status_code == HTTPStatus.NOT_FOUND
    assert client.post(f"{written}/signature", json=ADA).status_code == HTTPStatus.OK


def test_a_remark_with_html_is_shown_and_never_run(client: TestClient, report: str) -> None:
    """Name and remark are escaped on the page, and come back as they were sent elsewhere."""
    evil = "<script>alert(1)</script>"
    client.post(f"{report}/signature", json={"signed_by": f"Ada {evil}", "remark": evil})
    page = client.get(report, headers=HTML).text
    signature = client.get(report.replace("reports", "inspections")).json()["signature"]

    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert signature["remark"] == evil


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "signed_by"),
        ({"signed_by": ""}, "signed_by"),
        ({"signed_by": "  "}, "signed_by"),
        ({"signed_by": "x" * 101}, "signed_by"),
        ({"signed_by": "Ada\nBob"}, "signed_by"),
        ({"signed_by": "Ada\0"}, "signed_by"),
        ({"signed_by": "Ada\u202ebob"}, "signed_by"),
        ({"signed_by": 7}, "signed_by"),
        (ADA | {"remark": ""}, "remark"),
        (ADA | {"remark": "x" * 501}, "remark"),
        (ADA | {"remark": "one\x1b[2Jtwo"}, "remark"),
        (ADA | {"signed_at": "2026-03-04T05:06:07Z"}, "signed_at"),
        ([], "body"),
    ],
)
def test_a_signature_that_cannot_be_taken_is_refused(
    client: TestClient, line: Line, report: str, body: object, field: str
) -> None:
    """422 names the field with its value and hint; the moment is not the caller's to say."""
    answered = client.post(f"{report}/signature", json=body)
    (error,) = answered.json()["errors"]

    assert answered.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert error["field"] == field
    assert ("value" in error) == (body != {})
    assert error["hint"]
    assert kept(line, report) is None


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"[" * 200_000, b'{"signed_by": "\\ud800"}', b"1" * 5000]
)
def test_a_body_that_is_no_json_is_refused(client: TestClient, report: str, raw: bytes) -> None:
    """Broken, endless or half a character: it is said, and no stack trace."""
    answered = client.post(f"{report}/signature", content=raw, headers=JSON)

    assert answered.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answered.json()["errors"]] == ["body"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_page_of_another_site_cannot_sign(client: TestClient, line: Line, report: str, kind: str) -> None:
    """What a browser posts without asking the API first is not taken, even if it reads as JSON."""
    answered = client.post(
        f"{report}/signature", content=b'{"signed_by": "Ada"}', headers={"Content-Type": kind}
    )

    assert answered.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert kept(line, report) is None


def test_of_people_who_sign_at_the_same_time_exactly_one_wins(
    served: httpx.Client, submit: Submit, line: Line
) -> None:
    """The others are told who it was; whose request was answered with 200 stands in the database.

    Over many reports, because two requests rarely meet between the same two steps of the store.
    """
    names = [f"person {number}" for number in range(PEOPLE)]
    together = Barrier(PEOPLE)

    def sign(report: str, name: str) -> httpx.Response:
        together.wait()
        return served.post(f"{report}/signature", json={"signed_by": name})

    with ThreadPoolExecutor(PEOPLE) as pool:
        for number in range(REPORTS):
            report = _filed(submit, line, f"key-{number}")
            answers = dict(zip(names, pool.map(sign, [report] * PEOPLE, names), strict=True))
            refused = [
                answered for answered in answers.values() if answered.status_code == HTTPStatus.CONFLICT
            ]
            signature = kept(line, report)

            assert signature is not None
            assert [name for name in names if answers[name].status_code == HTTPStatus.OK] == [
                signature.signed_by
            ]
            assert len(refused) == PEOPLE - 1
            assert all(signature.signed_by in answered.json()["detail"] for answered in refused)


def _filed(submit: Submit, line: Line, key: str) -> str:
    """The address of one more report that can be signed."""
    result_id = submit(key).json()["result_id"]
    line.decide(0.93)
    line.diagnose()
    line.store()
    return f"/v1/reports/{result_id}"
