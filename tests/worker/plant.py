"""A small plant around one GPU worker: stores, recipes, an engine, and parts to inspect."""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from redis import Redis

from engine import Engine
from schemas.frame import FrameRef
from schemas.identity import PartIdentity
from schemas.job import InspectionJob
from schemas.problem import Problem
from schemas.verdict import Verdict
from services.infra.intake import RecipeBook, images
from services.infra.local_redis import RedisServer
from services.infra.process.heartbeat import Progress
from services.infra.process.names import Queue, wake_up_key
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import JobState, Ledger
from services.infra.stores.wake_up import WakeUp
from tests.worker.fake_engine import FakeEngine, Trait, painted
from worker.context import WorkerContext
from worker.leases import Leases
from worker.pixels import GoldenImages
from worker.taught import TaughtParts
from worker.work_loop import WorkLoop

GOOD, SCRATCH, DENT = 0, 1, 2

RECIPE = """\
recipe_id: surface
version: 1
station_id: station-surface
part: machined surface
classes:
  - {name: good, wording: good, severity: none, acceptable: true}
  - {name: scratch, wording: scratch, severity: minor}
  - {name: dent, wording: dent, severity: major}
thresholds: {accept_below: 0.35, reject_from: 0.65}
deadline_ms: 5000
evidence:
  measured_at: 2026-11-01T08:00:00Z
  by: the tests
  scores: held-out
  data_digest: "0000000000000000000000000000000000000000000000000000000000000000"
  accept_below: 0.35
  reject_from: 0.65
  good_parts: 400
  bad_parts: 400
  overkills: 0
  escapes: 0
  overkill_bound: 0.01
  escape_bound: 0.01
  review_share: 0.0
"""


def write_recipe(directory: Path, text: str = RECIPE) -> Path:
    """The folder with the plant's one recipe in it."""
    directory.mkdir(exist_ok=True)
    (directory / "surface.yaml").write_text(text)
    return directory


@dataclass
class Plant:
    """Everything one worker touches."""

    ledger: Ledger
    frames: FrameStore
    recipes: RecipeBook
    engine: FakeEngine
    wake_up: WakeUp
    lease_ms: int = 30_000
    reports_at_once: int = 8
    stop: threading.Event = field(default_factory=threading.Event)

    def submit(
        self,
        result_id: str,
        index: int = GOOD,
        trait: Trait = Trait.HARMLESS,
        seconds_left: float = 3600.0,
        unusable_reason: str | None = None,
        recipe_version: int = 1,
    ) -> InspectionJob:
        """Accepts one part: frame first, then the job."""
        data = images.encode_png(painted(index, trait))
        job = make_job(result_id, data, seconds_left, unusable_reason, recipe_version)
        self.frames.put(result_id, data)
        self.ledger.jobs.add(job, job.frame.digest)
        return job

    def context(self, consumer: str = "worker-1", queues: tuple[Queue, ...] = tuple(Queue)) -> WorkerContext:
        """A worker of this plant."""
        progress = Progress(name=consumer, kind="worker")
        return WorkerContext(
            consumer=consumer,
            queues=queues,
            ledger=self.ledger,
            frames=self.frames,
            recipes=self.recipes,
            golden=GoldenImages(self.recipes),
            taught=TaughtParts(self.recipes),
            wake_up=self.wake_up,
            engine=cast(Engine, self.engine),
            leases=Leases(self.ledger.jobs, consumer, self.lease_ms),
            progress=progress,
            stop=self.stop,
            reports_at_once=self.reports_at_once,
            max_deliveries=3,
            linger_seconds=0.0,
        )

    def work_loop(self, consumer: str = "worker-1", queues: tuple[Queue, ...] = tuple(Queue)) -> WorkLoop:
        """A work loop of one worker."""
        return WorkLoop(self.context(consumer, queues))

    def work(self) -> None:
        """One whole run of the work loop."""
        self.work_loop().run(Queue.INSPECT)

    def work_until_empty(self, seconds: float = 20.0) -> None:
        """Runs of the work loop, one after the other, until no queue holds anything."""
        ends_at = time.monotonic() + seconds
        while any(self.ledger.jobs.waiting(queue) for queue in Queue):
            assert time.monotonic() < ends_at, "the queues do not run dry"
            self.work()

    def state(self, result_id: str) -> JobState:
        """What the ledger knows of a part; it must know it."""
        state = self.ledger.jobs.state(result_id)
        assert state is not None
        return state

    def verdict(self, result_id: str) -> Verdict:
        """The part's verdict; it must have one."""
        verdict = self.state(result_id).verdict
        assert verdict is not None
        return verdict

    def reason(self, result_id: str) -> Problem:
        """Why the part was not inspected."""
        problem = self.verdict(result_id).problem
        assert problem is not None
        return problem


def woken(server: RedisServer) -> set[Queue]:
    """The queues with a wake-up that no worker has received yet."""
    with Redis.from_url(server.url) as client:
        return {queue for queue in Queue if client.exists(wake_up_key(queue))}


def make_job(
    result_id: str,
    data: bytes,
    seconds_left: float = 3600.0,
    unusable_reason: str | None = None,
    recipe_version: int = 1,
) -> InspectionJob:
    """The job of one part whose frame has these bytes."""
    now = datetime.now(UTC)
    return InspectionJob(
        result_id=result_id,
        job_id=result_id,
        part=PartIdentity(
            part_id=f"part-{result_id}",
            station_id="station-surface",
            camera_id="camera-1",
            recipe_id="surface",
            recipe_version=recipe_version,
        ),
        frame=FrameRef(
            digest=hashlib.sha256(data).hexdigest(),
            media_type="image/png",
            width=64,
            height=64,
            size_bytes=len(data),
            captured_at=now,
        ),
        creation_time=now,
        deadline=now + timedelta(seconds=seconds_left),
        unusable_reason=unusable_reason,
    )
