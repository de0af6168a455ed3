"""Running the command as a user does, and an API to talk to."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from services.cli import main
from services.cli.client import ApiClient
from services.cli.errors import ApiUnreachable
from services.cli.local.processes import Supervisor
from services.cli.local.stack import LocalStack, StackOptions, free_port
from services.cli.places import CHECKPOINT, PROJECT_ROOT, RECIPES, SOURCES_FILE
from tests.conftest import WaitUntil


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


def running_in(directory: Path) -> list[str]:
    """The command lines of all processes that speak of the folder in arguments, environment or place."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            place = (process / "cwd").readlink()
        except OSError:
            continue
        words = b"\0".join((arguments, environment, bytes(place)))
        if process.name != str(os.getpid()) and bytes(directory) in words:
            found.append(arguments.replace(b"\0", b" ").decode())
    return found


@pytest.fixture
def own_directory(tmp_path: Path) -> Iterator[Path]:
    """Where a started command writes; after the test no process may know this folder any more."""
    directory = tmp_path / "own"
    yield directory
    assert running_in(directory) == []


class StartLynceus(Protocol):
    """The type of the `start_lynceus` fixture."""

    def __call__(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the command in the background, without a terminal, with `own_directory` as its own."""


@pytest.fixture
def start_lynceus(own_directory: Path) -> Iterator[StartLynceus]:
    """Starts commands; one that a failed test left running is interrupted."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "services.cli", *arguments, "--directory", str(own_directory)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for command in started:
        if command.poll() is None:
            command.send_signal(signal.SIGINT)
            command.communicate()


@pytest.fixture(scope="module")
def api_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the API of `api_url` keeps its stores."""
    return tmp_path_factory.mktemp("api")


def _answers(client: ApiClient) -> bool:
    try:
        client.not_ready()
    except ApiUnreachable:
        return False
    return True


@pytest.fixture(scope="module")
def api_url(api_directory: Path, wait_until: WaitUntil) -> Iterator[str]:
    """The address of an API over stores of its own, with no worker behind it; one for the tests of a file."""
    options = StackOptions(
        directory=api_directory,
        recipes_dir=RECIPES,
        checkpoint=CHECKPOINT,
        sources_file=SOURCES_FILE,
        device="cpu",
        port=free_port(),
    )
    stack = LocalStack(options)
    with Supervisor() as supervisor, ApiClient(stack.api_url) as client:
        stack.start_stores(supervisor)
        stack.start_api(supervisor)
        wait_until(lambda: _answers(client), seconds=60)
        yield client.url
