"""The command line of a worker process: `python -m worker [gpu|clerk]`."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from services.infra.errors import LynceusError
from services.infra.logging import set_up_logging
from services.infra.settings import ClerkSettings, WorkerSettings, load_settings

EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: starting again will not help until a person mends something."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a GPU worker (the default) or a clerk until SIGTERM; exits with its code.

    Settings come from the environment. A wrong setting, recipe, checkpoint or device is told in words.
    """
    options = _parser().parse_args(arguments)
    sys.exit(_clerk() if options.role == "clerk" else _gpu_worker())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description=main.__doc__)
    parser.add_argument(
        "role",
        nargs="?",
        choices=("gpu", "clerk"),
        default="gpu",
        help="judge parts (gpu) or store results (clerk)",
    )
    return parser


def _name(kind: str) -> str:
    """Names this process among all that share the stores."""
    return f"{kind}@{socket.gethostname()}-{os.getpid()}"


def _clerk() -> int:
    try:
        settings = load_settings(ClerkSettings)
        set_up_logging(settings, "clerk")
        from worker.desk import run_clerk  # noqa: PLC0415 - a GPU worker needs no database

        return run_clerk(settings, _name("clerk"))
    except LynceusError as error:
        return _told(error.detail, error.mend)


def _gpu_worker() -> int:
    from engine import EngineError  # noqa: PLC0415 - a clerk runs on a machine without torch
    from worker.gpu import run_gpu_worker  # noqa: PLC0415 - as above

    try:
        settings = load_settings(WorkerSettings)
        set_up_logging(settings, "worker")
        return run_gpu_worker(settings, _name("worker"))
    except LynceusError as error:
        return _told(error.detail, error.mend)
    except EngineError as error:
        return _told(error.detail, error.mend)


def _told(detail: str, mend: str | None) -> int:
    sys.stderr.write(f"worker: {detail}\n" + (f"mend: {mend}\n" if mend else ""))
    return EXIT_CONFIGURATION
