"""Every bad image and every wrong request gets a problem record that says what to do."""

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from services.infra.process.names import Queue
from tests.api.conftest import Submit
from tests.api.line import Answer, Line, encoded, form, picture, png


def _problem(answered: Answer, status: int, code: str) -> dict[str, Any]:
    """The body of a problem answer, after checking that it is one (RFC 9457) and names its hint."""
    assert answered.status_code == status, answered.text
    assert answered.headers["Content-Type"] == "application/problem+json"
    body = answered.json()
    assert (body["code"], body["status"]) == (code, status)
    assert body["type"] == f"/problems/{code}"
    assert body["title"]
    assert body["detail"]
    assert body["hint"]
    return body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb(side: int) -> bytes:
    """A PNG of side x side black pixels in a few kilobytes: rows of zeros deflate a thousand to one."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _animation() -> bytes:
    return encoded(picture(0), "WEBP", save_all=True, append_images=[picture(1)], lossless=True)


BAD_IMAGES = {
    "nothing": (b"", 422, "frame-truncated"),
    "a text": (b"this is not an image at all", 415, "unsupported-image"),
    "a GIF": (encoded(picture(), "GIF"), 415, "unsupported-image"),
    "half a PNG": (png()[: len(png()) // 2], 422, "frame-truncated"),
    "half a JPEG": (encoded(picture(), "JPEG")[:900], 422, "frame-truncated"),
    "only a magic number": (b"\x89PNG\r\n\x1a\n", 422, "frame-invalid"),
    "a PNG with a broken row": (png().replace(b"IDAT", b"IDAX"), 422, "frame-invalid"),
    "an animation": (_animation(), 415, "unsupported-image"),
    "30000 x 30000 in 110 kB": (_bomb(30_000), 413, "frame-too-large"),
    "a side of 8193": (encoded(Image.new("L", (8193, 60))), 413, "frame-too-large"),
    "26 megapixels": (encoded(Image.new("L", (5200, 5000))), 413, "frame-too-large"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_refused_with_its_hint(submit: Submit, line: Line, name: str) -> None:
    """Each kind has its own status and code, and leaves nothing in any store."""
    data, status, code = BAD_IMAGES[name]
    _problem(submit(data=data), status, code)

    assert line.ledger.jobs.waiting(Queue.INSPECT) == 0
    assert line.woken() == set()


@pytest.mark.parametrize("charset", ["punycode", "utf-16", "no-such-charset"])
def test_a_form_in_another_charset_is_refused(client: TestClient, charset: str) -> None:
    """RFC 7578 (5.1.2) has forms in UTF-8; some of Python's codecs fail in ways of their own."""
    request = client.build_request("POST", "/v1/inspections", **form("key-1"))
    request.headers["Content-Type"] += f"; charset={charset}"
    problem = _problem(client.send(request), 415, "unsupported-media-type")

    assert charset in problem["detail"]


def test_a_form_may_say_that_it_is_in_utf_8(client: TestClient) -> None:
    """What is so may be said, in any case and in quotes."""
    request = client.build_request("POST", "/v1/inspections", **form("key-1"))
    request.headers["Content-Type"] += '; charset="UTF-8"'

    assert client.send(request).status_code == 202


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00"])
def test_a_moment_that_utc_has_not_is_refused(client: TestClient, query: str) -> None:
    """At the edge of the calendar a time zone can lead out of it."""
    problem = _problem(client.get(f"/v1/results?{query}"), 422, "request-invalid")

    assert problem["errors"][0]["field"] == query.partition("=")[0]
    assert problem["errors"][0]["hint"]


def test_a_cursor_at_the_edge_of_the_calendar_is_refused(client: TestClient) -> None:
    """No page gave it."""
    cursor = base64.urlsafe_b64encode(b"0001-01-01T00:00:00+14:00 r-1").decode().rstrip("=")

    _problem(client.get(f"/v1/results?cursor={cursor}"), 400, "bad-request")


ODD_IMAGES = {
    "CMYK": encoded(picture().convert("CMYK"), "JPEG"),
    "16-bit grey": encoded(picture().convert("L").convert("I;16")),
    "grey": encoded(picture().convert("L")),
    "alpha": encoded(picture().convert("RGBA")),
    "palette": encoded(picture().convert("P")),
    "BMP": encoded(picture(), "BMP"),
    "TIFF": encoded(picture(), "TIFF"),
    "WEBP": encoded(picture(), "WEBP"),
}


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_an_odd_but_sound_image_is_taken(submit: Submit, name: str) -> None:
    """What cameras really write is converted, not refused."""
    assert submit(data=ODD_IMAGES[name]).status_code == 202


def test_a_rotated_photograph_is_described_upright(submit: Submit) -> None:
    """Width and height are those a person sees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    answered = submit(data=encoded(picture(width=96, height=80), "JPEG", exif=exif))

    assert (answered.json()["frame"]["width"], answered.json()["frame"]["height"]) == (80, 96)


def test_a_missing_key_is_refused(client: TestClient) -> None:
    """400 names the header, since without a key a repeated request could not be told from a new one."""
    request = form("unused") | {"headers": {}}
    body = _problem(client.post("/v1/inspections", **request), 400, "request-invalid")

    assert [error["field"] for error in body["errors"]] == ["Idempotency-Key"]


def test_every_wrong_field_is_named_at_once(submit: Submit) -> None:
    """Field, value and hint of each, so that one round of corrections is enough."""
    answered = submit(part_id="SN 1/2", deadline_ms="soon", colour="red")
    errors = {error["field"]: error for error in _problem(answered, 422, "request-invalid")["errors"]}

    assert set(errors) == {"part_id", "deadline_ms", "colour"}
    assert errors["part_id"]["value"] == "SN 1/2"
    assert "leave this field out" in errors["colour"]["hint"]


def test_a_missing_image_is_named(client: TestClient) -> None:
    """The file part is called `image`, and the answer says so."""
    request = form("key-1") | {"files": {"picture": ("part.png", png())}}
    body = _problem(client.post("/v1/inspections", **request), 422, "request-invalid")

    assert [error["field"] for error in body["errors"]] == ["image"]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[1]", "body"),
        (b"[" * 200_000, "body"),
        (b'{"recipe_id": "surface", "part_id": "\\ud800", "image_base64": ""}', "body"),
        (b'{"recipe_id": "surface", "part_id": "SN-1", "deadline_ms": ' + b"9" * 5000 + b"}", "body"),
        (b'{"recipe_id": "surface", "part_id": "SN-1"}', "body"),
        (b'{"recipe_id": "surface", "part_id": "SN-1", "image_base64": "**"}', "image_base64"),
        (b'{"recipe_id": "surface", "part_id": "SN-1", "frame_of": "R-1"}', "body"),
    ],
)
def test_json_that_is_no_request_is_refused(client: TestClient, raw: bytes, field: str) -> None:
    """Broken JSON, no image, two kinds of image: each is said, none is a stack trace."""
    headers = {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    answered = client.post("/v1/inspections", headers=headers, content=raw)
    body = _problem(answered, 422, "request-invalid")

    assert [error["field"] for error in body["errors"]] == [field]


def test_another_content_type_is_refused(client: TestClient) -> None:
    """415 names the two that are taken."""
    headers = {"Idempotency-Key": "key-1", "Content-Type": "text/plain"}
    answered = client.post("/v1/inspections", headers=headers, content=b"part SN-1 please")

    assert answered.status_code == 415
    assert "multipart/form-data" in answered.json()["detail"]


def test_an_unknown_recipe_is_answered_with_those_there_are(submit: Submit) -> None:
    """The hint lists the names, so that a typing error is seen at once."""
    body = _problem(submit(recipe_id="surfaces"), 422, "unknown-recipe")

    assert "surface" in str(body["hint"])


def test_a_station_that_is_not_the_recipes_is_refused(submit: Submit) -> None:
    """A part sent to the wrong station must not be judged by another's recipe."""
    _problem(submit(station_id="station-board"), 422, "unknown-station")


def test_a_body_that_declares_too_much_is_refused_unread(line: Line) -> None:
    """413 by Content-Length, before a byte of it is taken."""
    with TestClient(line.app(max_upload_bytes=2000)) as client:
        body = _problem(client.post("/v1/inspections", **form("key-1")), 413, "frame-too-large")

    assert "declares" in str(body["detail"])


def test_a_body_that_grows_too_large_is_refused_while_it_comes(line: Line) -> None:
    """A chunked body declares nothing and is cut off at the limit."""

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(1000)

    headers = {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    with TestClient(line.app(max_upload_bytes=2000)) as client:
        answered = client.post("/v1/inspections", headers=headers, content=endless())

    assert "brought over" in str(_problem(answered, 413, "frame-too-large")["detail"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/results", 405),
        ("GET", "/v1/inspections/R-0", 404),
        ("GET", "/v1/inspections/R-0/image", 404),
        ("GET", "/v1/reports/R-0", 404),
        ("GET", "/v1/inspections/*", 422),
        ("GET", "/v1/results?limit=100000", 422),
        ("GET", "/v1/results?decision=MAYBE", 422),
        ("GET", "/v1/results?since=yesterday", 422),
        ("GET", "/v1/results?colour=red", 422),
        ("GET", "/v1/results?cursor=nonsense", 400),
    ],
)
def test_every_error_is_a_problem_record(client: TestClient, method: str, path: str, status: int) -> None:
    """404, 405 and wrong parameters too: nothing answers in another shape."""
    answered = client.request(method, path)

    assert answered.status_code == status
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.json()["hint"]
    assert answered.json()["status"] == status
