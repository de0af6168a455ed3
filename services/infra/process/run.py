"""How every process of ours begins and ends: settings, logging, errors in words, signals, exit codes."""

import signal
import sys
from collections.abc import Callable
from threading import Event
from types import FrameType
from typing import TypeVar

from services.infra.process.errors import LynceusError, in_words
from services.infra.process.logging import set_up_logging
from services.infra.process.settings import CommonSettings, load_settings

EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: starting again does not help until a person corrects something."""

Settings = TypeVar("Settings", bound=CommonSettings)


def run(name: str, kind: type[Settings], serve: Callable[[Settings], int]) -> int:
    """Serve with the settings of the environment, and return the exit code.

    `name` (gateway, worker, result-writer, web) stands on every log line. A LynceusError (wrong settings,
    recipes, sources, checkpoint, device) ends the process with EXIT_CONFIGURATION, told in words on standard
    error, without a stack trace.
    """
    try:
        settings = load_settings(kind)
        set_up_logging(settings, name)
        return serve(settings)
    except LynceusError as error:
        lines = [f"{name}: {error.title}", *in_words(error.problem())]
        sys.stderr.write("\n".join(lines) + "\n")
        return EXIT_CONFIGURATION


def stop_on_signals() -> Event:
    """An event that SIGTERM and SIGINT set from now on."""
    stop = Event()

    def set_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, set_stop)
    signal.signal(signal.SIGINT, set_stop)
    return stop
