"""Running the command as a user does, and an API to talk to."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from services.cli import main
from services.cli.client import ApiClient
from services.cli.places import CHECKPOINT, RECIPES, SOURCES_FILE
from services.cli.processes import Supervisor
from services.cli.readiness import wait_until_answering
from services.cli.stack import Stack, StackOptions, free_port


@dataclass(frozen=True)
class Told:
    """What a command left behind: its exit code and what it printed."""

    exit_code: int
    output: str
    messages: str


class Lynceus(Protocol):
    """The type of the `lynceus` fixture."""

    def __call__(self, *arguments: str) -> Told:
        """Runs the command to its end."""


@pytest.fixture
def lynceus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lynceus:
    """Runs `lynceus` in this process, without a terminal, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Told:
        monkeypatch.setattr("sys.argv", ["lynceus", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Told(end.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an API over stores of its own, with no worker behind it; one for the tests of a file."""
    directory = tmp_path_factory.mktemp("api")
    options = StackOptions(
        directory=directory,
        recipes_dir=RECIPES,
        checkpoint=CHECKPOINT,
        sources_file=SOURCES_FILE,
        device="cpu",
        port=free_port(),
    )
    stack = Stack(options)
    with Supervisor() as supervisor, ApiClient(stack.api_url) as client:
        stack.start_stores(supervisor)
        stack.start_api(supervisor)
        wait_until_answering(client, supervisor)
        yield client.url
