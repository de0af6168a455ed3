"""`python -m services.web` as an operator meets it."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from services.infra.process.run import EXIT_CONFIGURATION
from services.infra.process.settings import PREFIX
from tests.api.line import ROOT, Line
from tests.conftest import WaitUntil

COMMAND = [sys.executable, "-m", "services.web"]


@pytest.mark.slow
def test_the_process_serves_until_it_is_told_to_stop(line: Line, wait_until: WaitUntil) -> None:
    """It takes its settings from the environment, answers, and ends cleanly on SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = line.settings.model_copy(update={"port": port}).model_dump(mode="json")
    environment = {f"{PREFIX}{name}".upper(): str(value) for name, value in settings.items()}
    with subprocess.Popen(COMMAND, cwd=ROOT, env=os.environ | environment) as process:
        wait_until(lambda: process.poll() is not None or _answers(port), seconds=50)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in {0, -signal.SIGTERM}


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_wrong_setting_ends_it_with_the_hint() -> None:
    """One line that names the variable, no stack trace."""
    environment = os.environ | {f"{PREFIX}PORT": "eight thousand"}
    ended = subprocess.run(
        COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=50
    )

    assert ended.returncode == EXIT_CONFIGURATION
    assert "port" in ended.stderr.lower()
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr
