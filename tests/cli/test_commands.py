"""What a person sees of the commands: words and exit codes, never a stack trace."""

from importlib.metadata import version
from pathlib import Path

import pytest

from schemas.report import ReportState
from services.cli.client import ApiClient
from services.cli.local.folder_lock import claimed
from services.cli.places import RECIPES, SAMPLES
from services.infra.process.run import EXIT_CONFIGURATION
from services.infra.stores.results import ResultStore
from tests.cli.conftest import Lynceus, Told
from tests.infra.samples import report, verdict


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
    assert all(
        name in result.output for name in ("demo", "up", "submit", "status", "report", "sign", "doctor")
    )


def test_the_version_is_told(lynceus: Lynceus) -> None:
    """One line with the name and the version of what is installed."""
    told = lynceus("--version")

    assert told.exit_code == 0
    assert told.output == f"lynceus {version('lynceus')}\n"


def test_a_wrong_setting_has_an_exit_code_of_its_own(
    lynceus: Lynceus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one with which a process of ours ends for it, and the variable by name."""
    monkeypatch.setenv("LYNCEUS_LEDGER_URL", "http://elsewhere")
    result = lynceus("alive", "worker")

    assert result.exit_code == EXIT_CONFIGURATION
    assert "LYNCEUS_LEDGER_URL" in result.messages


def test_the_doctor_says_how_to_get_a_checkpoint(lynceus: Lynceus, tmp_path: Path) -> None:
    """On a machine without one everything else is still checked, and the exit code says no."""
    result = lynceus("doctor", "--checkpoint", str(tmp_path / "nothing"), "--recipes", str(RECIPES))

    assert_told(result, "checks-failed", "checkpoint")
    assert "config.json is missing" in result.output
    assert "hint:" in result.output
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
    """The API's own problem is shown, with its hint."""
    (tmp_path / "part.png").write_bytes(content)

    assert_told(lynceus("submit", "part.png", "--recipe", "surface", "--api", api_url), code, "hint:")


def test_a_truncated_picture_is_refused(lynceus: Lynceus, api_url: str, tmp_path: Path) -> None:
    """Half a PNG never becomes a job."""
    whole = next((SAMPLES / "surface").iterdir()).read_bytes()
    (tmp_path / "part.png").write_bytes(whole[: len(whole) // 2])

    assert_told(lynceus("submit", "part.png", "--recipe", "surface", "--api", api_url), "frame-truncated")


def test_an_unknown_recipe_is_refused_with_those_there_are(lynceus: Lynceus, api_url: str) -> None:
    """The hint lists what could have been meant."""
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
    assert_told(lynceus("report", "unknown-id", "--api", api_url), "not-found", "hint:")


@pytest.fixture
def filed(api_directory: Path, request: pytest.FixtureRequest) -> str:
    """The id of a filed report that the API serves; another one for each test."""
    result_id: str = request.node.name.partition("[")[0]
    results = ResultStore(f"sqlite:///{api_directory / 'lynceus.db'}")
    results.save_verdicts([verdict(result_id)])
    results.save_report(report().model_copy(update={"result_id": result_id}))
    results.close()
    return result_id


def test_a_report_is_signed_by_name(lynceus: Lynceus, api_url: str, filed: str) -> None:
    """One sentence, the same when the command is given again; the page carries name and remark."""
    command = ("sign", filed, "--name", "Ada Lovelace", "--remark", "seen", "--api", api_url)
    first, second = lynceus(*command), lynceus(*command)
    with ApiClient(api_url) as client:
        state, page = client.report(filed).state, client.report_page(filed)

    assert (first.exit_code, second.exit_code) == (0, 0), first.messages + second.messages
    assert first.output == second.output == "The report on part part-1 is signed by Ada Lovelace.\n"
    assert state is ReportState.SIGNED
    assert "Signed by <b>Ada Lovelace</b>" in page
    assert "Remark: seen" in page


def test_a_second_name_under_a_report_is_refused(lynceus: Lynceus, api_url: str, filed: str) -> None:
    """The first one is named, and stays."""
    lynceus("sign", filed, "--name", "Ada Lovelace", "--api", api_url)
    result = lynceus("sign", filed, "--name", "Bob", "--api", api_url)
    with ApiClient(api_url) as client:
        page = client.report_page(filed)

    assert_told(result, "already-signed", "Ada Lovelace", "hint:")
    assert result.output == ""
    assert "Signed by <b>Ada Lovelace</b>" in page
    assert "Bob" not in page


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "Ada\nBob", "Ad\udce4"])
def test_a_name_that_cannot_stand_on_a_page_is_refused(
    lynceus: Lynceus, api_url: str, filed: str, name: str
) -> None:
    """Empty, endless, of two lines, or not in the terminal's encoding: nothing is signed."""
    result = lynceus("sign", filed, "--name", name, "--api", api_url)
    with ApiClient(api_url) as client:
        state = client.report(filed).state

    assert_told(result, "request-invalid", "hint:")
    assert state is ReportState.DRAFT


def test_an_unknown_report_cannot_be_signed(lynceus: Lynceus, api_url: str) -> None:
    """An id that nobody knows, and where to look it up."""
    assert_told(lynceus("sign", "unknown-id", "--name", "Ada", "--api", api_url), "not-found", "hint:")


def test_two_demos_do_not_work_in_one_folder(lynceus: Lynceus, tmp_path: Path) -> None:
    """The second would empty what the first is writing."""
    with claimed(tmp_path / "demo"):
        told = lynceus("demo", "--directory", str(tmp_path / "demo"))

    assert_told(told, "input-invalid", "another lynceus works in", "--directory")


def test_the_demo_refuses_a_folder_without_labels(lynceus: Lynceus, tmp_path: Path) -> None:
    """Before any process is started."""
    assert_told(lynceus("demo", "--samples", str(tmp_path)), "input-invalid", "labels.json")
    assert not (tmp_path / "runs").exists()
