"""The page of the line: what a person across the hall reads, and that nothing in it runs or leaves."""

from pathlib import Path

from fastapi.testclient import TestClient

import services.web
from tests.api.conftest import Submit
from tests.api.line import Line

WEB = Path(services.web.__file__).parent


def test_the_line_shows_the_last_part_and_the_day(submit: Submit, client: TestClient, line: Line) -> None:
    """Word and shape, what the percentage is of, the counts and the yield of each station."""
    for number, probability in enumerate((0.004, 0.93)):
        submit(f"key-{number}", part_id=f"SN-{number}")
        line.decide(probability)
        line.store()
    page = client.get("/").text

    assert "■</span> REJECT" in page
    assert "defect probability 93.0 %" in page
    assert "SN-1" in page
    assert "50.0 %" in page
    assert "No worker is alive" in page
    assert "<header>" not in client.get("/?kiosk=1").text


def test_the_line_runs_no_script_but_its_file(client: TestClient) -> None:
    """The policy takes neither script nor style from the page itself, and the files are served."""
    answered = client.get("/")

    assert answered.status_code == 200
    assert "unsafe" not in answered.headers["Content-Security-Policy"]
    assert "style=" not in answered.text
    assert "<script>" not in answered.text
    for name in ("line.css", "line.js", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200


def test_no_page_names_another_machine() -> None:
    """Neither a template nor a file of a page loads anything from elsewhere."""
    for path in [*WEB.glob("templates/*"), *WEB.glob("static/*")]:
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "http:" not in text, path
        assert "https:" not in text, path
