"""Running the command as a user does, and an API to talk to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from services.cli.client import ApiClient
from services.cli.places import CHECKPOINT, PROJECT_ROOT, RECIPES, SOURCES_FILE
from services.cli.processes import Supervisor
from services.cli.readiness import wait_until_answering
from services.cli.stack import Stack, StackOptions, free_port

COMMAND_SECONDS = 50.0


class Lynceus(Protocol):
    """The type of the `lynceus` fixture."""

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end and returns what it printed."""


@pytest.fixture
def lynceus(tmp_path: Path) -> Lynceus:
    """Runs `lynceus` without a terminal, in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

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
