"""`python -m worker [gpu|result-writer]`: a GPU worker or a result writer."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from services.infra.process.gpu import require_gpu
from services.infra.process.run import run
from services.infra.process.settings import ResultWriterSettings, WorkerSettings


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a GPU worker (the default) or a result writer until SIGTERM; exits with its code.

    Settings come from the environment. A wrong setting, recipe, checkpoint or device is told in words.
    """
    options = _parser().parse_args(arguments)
    if options.role == "result-writer":
        sys.exit(run("result-writer", ResultWriterSettings, _result_writer))
    sys.exit(run("worker", WorkerSettings, _gpu_worker))


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


def _result_writer(settings: ResultWriterSettings) -> int:
    # A GPU worker needs no database.
    from worker.result_process import run_result_writer  # noqa: PLC0415

    return run_result_writer(settings, _name("result-writer"))


def _gpu_worker(settings: WorkerSettings) -> int:
    require_gpu(settings.device)
    # A result writer runs on a machine without torch.
    from engine import EngineError  # noqa: PLC0415
    from worker.gpu_process import run_gpu_worker  # noqa: PLC0415
    from worker.refusals import as_service_error  # noqa: PLC0415

    try:
        return run_gpu_worker(settings, _name("worker"))
    except EngineError as error:
        raise as_service_error(error) from error


if __name__ == "__main__":
    main()
