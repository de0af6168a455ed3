"""A gateway for tests, wired to real stores, and the pictures it is fed with."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.job import InspectionJob
from services.gateway.dead_letters import DeadLetters
from services.gateway.health import Health
from services.gateway.intake import Intake
from services.gateway.loop import ConfiguredCamera, GatewayLoop, Shared
from services.gateway.main import make_source
from services.gateway.sources.config import FolderConfig, SourceConfig
from services.gateway.sources.offer import SourceFrame
from services.infra.intake import RecipeBook, read_picture
from services.infra.intake.submission import Submission
from services.infra.process.names import Queue
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.spool import Spool
from services.infra.stores.wake_up import WakeUp

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "surface"
PATIENCE = 50.0
"""Seconds to wait for a condition: a busy machine is not a defect."""


def pixels(seed: int = 0, height: int = 80, width: int = 96) -> NDArray[np.uint8]:
    """A noisy RGB picture that passes the quality gate; each seed makes another one."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(seed: int = 0) -> bytes:
    """The picture of a seed, encoded."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed)).save(buffer, format="PNG")
    return buffer.getvalue()


def frame(part_id: str, data: bytes, name: str | None = None) -> SourceFrame:
    """What a source hands to the intake."""
    return SourceFrame(name or f"{part_id}.png", read_picture(data), part_id, datetime.now(UTC))


def folder_config(path: Path) -> FolderConfig:
    """A watched folder that is quick to take and quick to refuse."""
    return FolderConfig(
        kind="folder", camera_id="cam-1", recipe_id=RECIPE, path=path, settle_ms=30, patience_seconds=0.4
    )


@dataclass(frozen=True)
class Plant:
    """One gateway and its stores."""

    ledger: Ledger
    frames: FrameStore
    spool: Spool
    health: Health
    dead_letters: DeadLetters
    recipes: RecipeBook
    intake: Intake

    @contextmanager
    def running(self, *configs: SourceConfig) -> Iterator[None]:
        """The gateway at work on these sources, stopped at the end of the block."""
        stop = Event()
        cameras = [ConfiguredCamera(config, make_source(config, self.health)) for config in configs]
        shared = Shared(self.intake, self.ledger, self.recipes, self.health, self.dead_letters)
        loop = Thread(target=GatewayLoop(cameras, shared, stop).run)
        loop.start()
        try:
            yield
        finally:
            stop.set()
            loop.join()

    def jobs(self) -> Sequence[InspectionJob]:
        """All jobs that wait, in the order a worker gets them; each is delivered once."""
        entries = self.ledger.jobs.read(Queue.INSPECT, "worker-of-the-test", 1000)
        self.ledger.jobs.release(entries)
        return [entry.job for entry in entries if isinstance(entry.job, InspectionJob)]

    def parts(self) -> list[str]:
        """The serials of all jobs that wait."""
        return [job.part.part_id for job in self.jobs()]


def make_plant(ledger_url: str, frames_url: str, folder: Path, spool_bytes: int = 100_000_000) -> Plant:
    """A gateway over two Redis servers, with its spool in a folder."""
    ledger, frames, recipes = Ledger(ledger_url), FrameStore(frames_url), RecipeBook(ROOT / "recipes")
    submission = Submission(ledger, frames, WakeUp(ledger_url), recipes, 0.85, 0.85)
    spool, health, dead_letters = Spool(folder / "spool", spool_bytes), Health(), DeadLetters()
    intake = Intake(submission, spool, health, dead_letters)
    return Plant(ledger, frames, spool, health, dead_letters, recipes, intake)
