"""Logging: one JSON object a line, with the process and the ids it is about."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.infra.process.logging import bind, set_up_logging
from services.infra.process.settings import CommonSettings


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Puts the process's logging back as the other tests expect it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_carries_process_and_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """Only inside the block, and for the lines of libraries too."""
    set_up_logging(CommonSettings(), "worker")
    with bind(result_id="r1"):
        structlog.get_logger("ours").info("decided", decision="ACCEPT")
        logging.getLogger("theirs").warning("odd")
    structlog.get_logger("ours").info("idle")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["process"], first["result_id"]) == ("decided", "worker", "r1")
    assert first["decision"] == "ACCEPT"
    assert (second["event"], second["result_id"], second["logger"]) == ("odd", "r1", "theirs")
    assert "result_id" not in third


def test_less_severe_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """`LYNCEUS_LOG_LEVEL` holds for our lines and for those of libraries."""
    set_up_logging(CommonSettings(log_level="error", log_json=False), "api")
    structlog.get_logger("ours").warning("quiet")
    logging.getLogger("theirs").warning("quiet")
    structlog.get_logger("ours").error("loud")
    assert "quiet" not in (text := capsys.readouterr().err)
    assert "loud" in text


def test_an_error_is_written_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """For the person who fixes the program; users get problem records."""
    set_up_logging(CommonSettings(), "api")
    try:
        int("odd")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
    assert "ValueError: invalid literal" in json.loads(capsys.readouterr().err)["exception"]
