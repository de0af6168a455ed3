"""The soak's gateway in a process of its own, so that its memory holds nothing of the bench.

    python -m bench.pipeline.soak_gateway

Started by bench.pipeline.soak. The first line of its input is a `Plan`; every byte after it lets
one more frame in, and the end of the input ends it. Its output is a `Report`.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from bench.pipeline.line import Pictures, SimulatedCamera, running_gateway
from schemas.base import Message
from services.infra.intake.images import encode_png


class CameraPlan(Message):
    """How many frames a camera holds out, and for which recipe."""

    number: int
    frames: int
    recipe_id: str

    def part(self, frame: int) -> str:
        """The part that a frame shows."""
        return f"c{self.number}-{frame}"


class Plan(Message):
    """Where the installation is, and what comes from which camera; frames are `side` x `side` pixels."""

    directory: Path
    ledger_url: str
    frames_url: str
    side: int
    cameras: tuple[CameraPlan, ...]

    @property
    def parts(self) -> list[str]:
        """All parts that the cameras will show."""
        return [camera.part(frame) for camera in self.cameras for frame in range(camera.frames)]


class Report(Message):
    """How many frames were held out, and what was refused."""

    held_out: int
    refused: tuple[str, ...]


class GatewayProcess:
    """The process as its parent sees it; `release` lets one more frame in, from any thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def release(self) -> None:
        """Let one more frame in."""
        assert self._process.stdin is not None
        self._process.stdin.write(b".")
        self._process.stdin.flush()

    def end(self) -> Report:
        """Let it end, and return its report."""
        output, _ = self._process.communicate()
        return Report.model_validate_json(output)


@contextmanager
def gateway_process(plan: Plan) -> Iterator[GatewayProcess]:
    """A gateway on these cameras, killed if it still runs at the end of the block."""
    command = [sys.executable, "-m", "bench.pipeline.soak_gateway"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(plan.model_dump_json().encode() + b"\n")
        try:
            yield GatewayProcess(process)
        finally:
            process.kill()


def frames_of(camera: CameraPlan, side: int) -> Iterator[tuple[str, bytes]]:
    """A camera's frames, made when they are asked for."""
    pictures = Pictures(seed=camera.number, side=side)
    for frame in range(camera.frames):
        yield camera.part(frame), encode_png(pictures.frame())


def main() -> None:
    """Run the gateway until the input ends."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    plan = Plan.model_validate_json(sys.stdin.buffer.readline())
    permits = threading.Semaphore(0)
    cameras = [
        SimulatedCamera(f"camera-{each.number}", frames_of(each, plan.side), permits, each.recipe_id)
        for each in plan.cameras
    ]
    with running_gateway(plan.directory, plan.ledger_url, plan.frames_url, cameras):
        while sys.stdin.buffer.read(1):
            permits.release()
    refused = tuple(reason for camera in cameras for reason in camera.refused)
    report = Report(held_out=sum(camera.held_out for camera in cameras), refused=refused)
    print(report.model_dump_json())


if __name__ == "__main__":
    main()
