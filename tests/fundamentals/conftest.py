"""A small line on real Redis servers, with the starter model that ships and the recipes that ship."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import Engine, EngineConfig
from services.infra.intake import RecipeBook, read_picture
from services.infra.intake.submission import Submission, SubmissionRequest
from services.infra.local_redis import RedisServer
from services.infra.process.heartbeat import Progress
from services.infra.process.names import Queue
from services.infra.stores.archive import Archive
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import JobState, Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp
from worker.context import WorkerContext
from worker.leases import Leases
from worker.pixels import GoldenImages
from worker.result_writer import ResultWriter
from worker.taught import TaughtParts
from worker.work_loop import WorkLoop

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


@dataclass
class Line:
    """A production line's inspection: a door, a worker and a result writer."""

    ledger: Ledger
    wake_up: WakeUp
    frames: FrameStore
    recipes: RecipeBook
    results: ResultStore
    engine: Engine
    archive: Archive

    def submit(self, file: str, part_id: str | None = None, deadline_ms: int = 600_000) -> str:
        """Hand in a sample picture; returns the result id."""
        path = SAMPLES / file
        return self.submit_bytes(path.read_bytes(), path.parent.name, part_id or path.stem, deadline_ms)

    def submit_bytes(self, data: bytes, recipe: str, part_id: str, deadline_ms: int = 600_000) -> str:
        """Hand in the bytes of a picture."""
        request = SubmissionRequest(
            result_id=part_id,
            recipe_id=recipe,
            part_id=part_id,
            camera_id="camera-1",
            deadline_ms=deadline_ms,
        )
        door = Submission(self.ledger, self.frames, self.wake_up, self.recipes)
        return door.accept(request, read_picture(data)).job.result_id

    def work(self) -> None:
        """One run of a worker's loop: until nothing waits."""
        WorkLoop(self._context("worker-1")).run(Queue.INSPECT)

    def file(self) -> None:
        """One round of the result writer."""
        ResultWriter(
            consumer="result-writer-1",
            ledger=self.ledger,
            frames=self.frames,
            results=self.results,
            recipes=self.recipes,
            archive=self.archive,
            progress=Progress(name="result-writer-1", kind="result-writer"),
            batch_size=16,
        ).tick()

    def state(self, result_id: str) -> JobState:
        """What the ledger knows of a part; it must know it."""
        state = self.ledger.jobs.state(result_id)
        assert state is not None
        return state

    def _context(self, consumer: str) -> WorkerContext:
        return WorkerContext(
            consumer=consumer,
            queues=tuple(Queue),
            ledger=self.ledger,
            frames=self.frames,
            recipes=self.recipes,
            golden=GoldenImages(self.recipes),
            taught=TaughtParts(self.recipes),
            wake_up=self.wake_up,
            engine=self.engine,
            leases=Leases(self.ledger.jobs, consumer, 30_000),
            progress=Progress(name=consumer, kind="worker"),
            stop=threading.Event(),
            reports_at_once=8,
            max_deliveries=3,
            linger_seconds=0.0,
        )


@pytest.fixture(scope="session")
def starter() -> Iterator[Engine]:
    """The engine with the starter model."""
    with Engine(EngineConfig(ROOT / "models" / "starter", device="cpu", threads=1)) as engine:
        yield engine


@pytest.fixture
def line(ledger_redis: RedisServer, frames_redis: RedisServer, starter: Engine, tmp_path: Path) -> Line:
    """A line with empty stores."""
    return Line(
        ledger=Ledger(ledger_redis.url),
        wake_up=WakeUp(ledger_redis.url),
        frames=FrameStore(frames_redis.url),
        recipes=RecipeBook(ROOT / "recipes"),
        results=ResultStore(f"sqlite:///{tmp_path}/lynceus.db"),
        engine=starter,
        archive=Archive(tmp_path / "archive"),
    )


@pytest.fixture(scope="session")
def labels() -> dict[str, str]:
    """What each sample picture is known to show: file -> class."""
    return {entry["file"]: entry["label"] for entry in json.loads((SAMPLES / "labels.json").read_text())}
