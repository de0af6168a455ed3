"""`python -m worker [gpu|result-writer]`: a GPU worker or a result writer."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from services.infra.process.errors import LynceusError
from services.infra.process.logging import set_up_logging
from services.infra.process.settings import ResultWriterSettings, WorkerSettings, load_settings

EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: starting again will not help until a person fixes something."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a GPU worker (the default) or a result writer until SIGTERM; exits with its code.

    Settings come from the environment. A wrong setting, recipe, checkpoint or device is told in words.
    """
    options = _parser().parse_args(arguments)
    sys.exit(_result_writer() if options.role == "result-writer" else _gpu_worker())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker", description=main.__doc__)
    parser.add_argument(
        "role",
        nargs="?",
        choices=("gpu", "result-writer"),
        default="gpu",
        help="judge parts (gpu) or store results (result writer)",
    )
    return parser


def _name(kind: str) -> str:
    """Names this process among all that share the stores."""
    return f"{kind}@{socket.gethostname()}-{os.getpid()}"


def _result_writer() -> int:
    try:
        settings = load_settings(ResultWriterSettings)
        set_up_logging(settings, "result-writer")
        # A GPU worker needs no database.
        from worker.result_process import run_result_writer  # noqa: PLC0415

        return run_result_writer(settings, _name("result-writer"))
    except LynceusError as error:
        return _told(error.detail, error.hint)


def _gpu_worker() -> int:
    # A result writer runs on a machine without torch.
    from engine import EngineError  # noqa: PLC0415
    from worker.gpu_process import run_gpu_worker  # noqa: PLC0415

    try:
        settings = load_settings(WorkerSettings)
        set_up_logging(settings, "worker")
        return run_gpu_worker(settings, _name("worker"))
    except LynceusError as error:
        return _told(error.detail, error.hint)
    except EngineError as error:
        return _told(error.detail, error.hint)


def _told(detail: str, hint: str | None) -> int:
    sys.stderr.write(f"worker: {detail}\n" + (f"hint: {hint}\n" if hint else ""))
    return EXIT_CONFIGURATION


if __name__ == "__main__":
    main()
