"""What a person sees of the commands: words and exit codes, never a stack trace."""

from pathlib import Path

import pytest

from services.cli.claim import claimed
from services.cli.places import RECIPES, SAMPLES
from tests.cli.conftest import Lynceus, Told


def assert_told(result: Told, *words: str) -> None:
    """The command failed, said these words, and showed no stack trace."""
    assert result.exit_code == 1, result.messages
    assert "Traceback" not in result.messages
    for word in words:
        assert word in result.messages


def test_help_names_every_command(lynceus: Lynceus) -> None:
    """A person who knows nothing finds the demo."""
    result = lynceus("--help")

    assert result.exit_code == 0
    assert all(name in result.output for name in ("demo", "up", "submit", "status", "report", "doctor"))


def test_the_doctor_says_how_to_get_a_checkpoint(lynceus: Lynceus, tmp_path: Path) -> None:
    """On a machine without one everything else is still checked, and the exit code says no."""
    result = lynceus("doctor", "--checkpoint", str(tmp_path / "nothing"), "--recipes", str(RECIPES))

    assert_told(result, "checks-failed", "checkpoint")
    assert "config.json is missing" in result.output
    assert "mend:" in result.output
    assert all(f"ok   {name}" in result.output for name in ("Python", "torch", "Redis", "recipes"))


def test_the_doctor_names_the_line_of_a_wrong_recipe(lynceus: Lynceus, tmp_path: Path) -> None:
    """File, line and field, as the services themselves would say."""
    text = (RECIPES / "surface.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "surface.yaml").write_text(text.replace("deadline_ms: 5000", "deadline_ms: soon"))

    result = lynceus("doctor", "--recipes", "recipes")

    line = 1 + text.splitlines().index("deadline_ms: 5000")
    assert result.exit_code == 1
    assert f"surface.yaml:{line} deadline_ms" in result.output


def test_a_command_without_an_api_says_how_to_start_one(lynceus: Lynceus) -> None:
    """Nothing listens on port 9 of this machine."""
    assert_told(lynceus("status", "--api", "http://127.0.0.1:9"), "api-unreachable", "lynceus up")


def test_a_file_that_is_not_there_is_named(lynceus: Lynceus) -> None:
    """Before anything is sent."""
    assert_told(lynceus("submit", "nowhere.png", "--recipe", "surface"), "input-invalid", "nowhere.png")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "frame-truncated"), (b"no picture at all", "unsupported-image")],
    ids=["empty", "text"],
)
def test_a_file_that_is_no_image_is_refused(
    lynceus: Lynceus, api_url: str, tmp_path: Path, content: bytes, code: str
) -> None:
    """The API's own problem is shown, with its mend."""
    (tmp_path / "part.png").write_bytes(content)

    assert_told(lynceus("submit", "part.png", "--recipe", "surface", "--api", api_url), code, "mend:")


def test_a_truncated_picture_is_refused(lynceus: Lynceus, api_url: str, tmp_path: Path) -> None:
    """Half a PNG never becomes a job."""
    whole = next((SAMPLES / "surface").iterdir()).read_bytes()
    (tmp_path / "part.png").write_bytes(whole[: len(whole) // 2])

    assert_told(lynceus("submit", "part.png", "--recipe", "surface", "--api", api_url), "frame-truncated")


def test_an_unknown_recipe_is_refused_with_those_there_are(lynceus: Lynceus, api_url: str) -> None:
    """The mend lists what could have been meant."""
    picture = next((SAMPLES / "surface").iterdir())

    result = lynceus("submit", str(picture), "--recipe", "surfaces", "--api", api_url)

    assert_told(result, "unknown-recipe", "microscope")


def test_a_picture_is_accepted_and_followed_until_the_limit(lynceus: Lynceus, api_url: str) -> None:
    """Without a worker it waits; the id is printed all the same, so that it can be asked for later."""
    picture = next((SAMPLES / "surface").iterdir())

    result = lynceus(
        "submit", str(picture), "--recipe", "surface", "--api", api_url, "--wait", "--limit", "0.5"
    )

    assert_told(result, "incomplete", "still waiting")
    assert result.output.startswith("api-")


def test_status_says_that_no_worker_lives(lynceus: Lynceus, api_url: str) -> None:
    """The worst news comes first, in a sentence."""
    result = lynceus("status", "--api", api_url)

    assert result.exit_code == 0, result.messages
    assert result.output.startswith("No worker is alive")


def test_a_report_that_is_not_there_is_said_so(lynceus: Lynceus, api_url: str) -> None:
    """An id that nobody knows."""
    assert_told(lynceus("report", "unknown-id", "--api", api_url), "not-found", "mend:")


def test_two_demos_do_not_work_in_one_folder(lynceus: Lynceus, tmp_path: Path) -> None:
    """The second would empty what the first is writing."""
    with claimed(tmp_path / "demo"):
        told = lynceus("demo", "--directory", str(tmp_path / "demo"))

    assert_told(told, "input-invalid", "another lynceus works in", "--directory")


def test_the_demo_refuses_a_folder_without_labels(lynceus: Lynceus, tmp_path: Path) -> None:
    """Before any process is started."""
    assert_told(lynceus("demo", "--samples", str(tmp_path)), "input-invalid", "labels.json")
    assert not (tmp_path / "runs").exists()
