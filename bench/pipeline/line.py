"""A whole installation for the pipeline's benches: real stores, worker, result writer, a gateway in here."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
import yaml

from bench.host import ROOT
from schemas.problem import Problem
from schemas.verdict import Verdict
from services.cli.client import ApiClient
from services.cli.local.processes import Supervisor
from services.cli.local.readiness import wait_until_ready
from services.cli.local.stack import LocalStack, StackOptions, free_port
from services.gateway.dead_letters import DeadLetters
from services.gateway.health import Health
from services.gateway.intake import Intake
from services.gateway.loop import ConfiguredCamera, GatewayLoop, Shared
from services.gateway.sources.config import FolderConfig
from services.gateway.sources.offer import SourceFrame
from services.infra.intake import RecipeBook, read_picture
from services.infra.intake.images import Rgb, decode, encode_png
from services.infra.intake.submission import Submission
from services.infra.process.errors import LynceusError
from services.infra.process.heartbeat import Heartbeat
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import EventKind, Ledger
from services.infra.stores.spool import Spool
from services.infra.stores.wake_up import WakeUp

CHECKPOINT = ROOT / "models" / "starter"
SAMPLES = ROOT / "samples" / "surface"
RECIPE_ID, REPORTED_ID = "surface", "surface-reported"
NOISE = 8
"""Grey levels by which each frame differs from its sample: no two frames are the same picture."""

SPOOL_BYTES = 1_000_000_000
HIGH_WATER = 0.85
DEADLINE_MS = 600_000


def write_recipes(directory: Path) -> None:
    """The shipped surface recipe, with a golden image and a long deadline: without reports, and with all."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "good.png").write_bytes((SAMPLES / "SF-001.png").read_bytes())
    shipped = yaml.safe_load((ROOT / "recipes" / "surface.yaml").read_text(encoding="utf-8"))
    for recipe_id, decisions in ((RECIPE_ID, []), (REPORTED_ID, ["ACCEPT", "REVIEW", "REJECT"])):
        changes = {
            "recipe_id": recipe_id,
            "station_id": f"station-{recipe_id}",
            "deadline_ms": DEADLINE_MS,
            "escalation": {"decisions": decisions},
            "golden": ["good.png"],
        }
        (directory / f"{recipe_id}.yaml").write_text(yaml.safe_dump(shipped | changes), encoding="utf-8")


class Pictures:
    """Frames of one camera: the samples by turns, each with noise of its own; a seed makes the same again."""

    def __init__(self, seed: int, side: int | None = None) -> None:
        self._random = np.random.default_rng(seed)
        samples = [decode(path.read_bytes()) for path in sorted(SAMPLES.glob("*.png"))]
        self._samples = [sample[:side, :side] for sample in samples]
        self._next = 0

    def frame(self) -> Rgb:
        """The next frame, RGB uint8 [H, W, 3]."""
        sample = self._samples[self._next % len(self._samples)]
        self._next += 1
        noise = self._random.integers(0, NOISE, sample.shape, dtype=np.uint8)
        return np.asarray(np.minimum(sample, 255 - NOISE) + noise, dtype=np.uint8)


@dataclass(frozen=True)
class _Offer:
    """One frame held out to the gateway."""

    name: str
    data: bytes
    refused: list[str]

    def read(self) -> SourceFrame:
        return SourceFrame(self.name, read_picture(self.data), self.name, datetime.now(UTC))

    def may_become_right(self, _error: LynceusError) -> bool:
        return False

    def accepted(self) -> None:
        """Nothing is kept."""

    def rejected(self, problem: Problem) -> None:
        self.refused.append(f"{self.name}: {problem.detail}")


@dataclass
class SimulatedCamera:
    """A source whose frames are taken as fast as `permits` allows."""

    camera_id: str
    frames: Iterator[tuple[str, bytes]]
    permits: threading.Semaphore
    recipe_id: str = RECIPE_ID
    held_out: int = 0
    refused: list[str] = field(default_factory=list)
    waits_for_capacity = True

    def offers(self, stop: threading.Event) -> Iterator[_Offer]:
        """See Source.offers."""
        for name, data in self.frames:
            while not self.permits.acquire(timeout=0.1):
                if stop.is_set():
                    return
            self.note(name)
            yield _Offer(name, data, self.refused)

    def note(self, _name: str) -> None:
        """A frame is held out now."""
        self.held_out += 1


class Permits(Protocol):
    """What lets frames in: a semaphore, or a gateway in another process."""

    def release(self) -> None:
        """Let one more frame in."""


@contextmanager
def running_gateway(
    directory: Path, ledger_url: str, frames_url: str, cameras: Sequence[SimulatedCamera]
) -> Iterator[Health]:
    """A gateway on these cameras and stores, in this process; stopped at the end of the block."""
    stop, health, dead_letters = threading.Event(), Health(), DeadLetters()
    ledger, recipes = Ledger(ledger_url), RecipeBook(_recipes(directory))
    frames, wake_up = FrameStore(frames_url), WakeUp(ledger_url)
    door = Submission(ledger, frames, wake_up, recipes, HIGH_WATER, HIGH_WATER, health.stages)
    intake = Intake(door, Spool(directory / "spool", SPOOL_BYTES), health, dead_letters)
    shared = Shared(intake, ledger, recipes, health, dead_letters)
    loop = GatewayLoop([ConfiguredCamera(_config(each), each) for each in cameras], shared, stop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield health
    finally:
        stop.set()
        thread.join()


@dataclass
class Line:
    """What a bench works with while the installation runs."""

    stack: LocalStack
    supervisor: Supervisor
    recipes: RecipeBook
    ledger: Ledger
    frames: FrameStore
    api: ApiClient
    directory: Path
    verdicts: dict[str, float] = field(default_factory=dict)
    """When each part's verdict was seen from outside, by part."""
    results: dict[str, str] = field(default_factory=dict)
    """Result ids by part."""
    repeated: int = 0
    """Verdicts on the feed beyond the first of a part."""

    def url(self, store: str) -> str:
        """The address of the store `ledger` or `frames`."""
        return f"redis://127.0.0.1:{self.stack.ports[store]}/0"

    def gateway(self, cameras: Sequence[SimulatedCamera]) -> AbstractContextManager[Health]:
        """A gateway on these cameras, in this process; stopped at the end of the block."""
        return running_gateway(self.directory, self.url("ledger"), self.url("frames"), cameras)

    @contextmanager
    def watched(self, permits: Permits) -> Iterator[None]:
        """Follows the live feed from outside: notes every verdict, and lets one more frame in for each."""
        over = threading.Event()
        first = self.ledger.events.newest_id()
        thread = threading.Thread(target=self._follow, args=(first, permits, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _follow(self, event_id: str, permits: Permits, over: threading.Event) -> None:
        while not over.is_set():
            for event in self.ledger.events.after(event_id, 1000, 200):
                event_id = event.event_id
                if event.kind is EventKind.VERDICT:
                    self.repeated += event.part_id in self.verdicts
                    self.verdicts[event.part_id] = time.perf_counter()
                    self.results[event.part_id] = event.result_id
                    permits.release()

    def wait_for(self, parts: int) -> None:
        """Returns when that many verdicts were seen; fails loudly when a process has ended."""
        while len(self.verdicts) < parts:
            if ended := self.supervisor.ended():
                raise RuntimeError(f"{ended[0].name} has ended, see {ended[0].log_path}")
            time.sleep(0.01)

    def worker_heartbeat(self) -> Heartbeat:
        """The worker's heartbeat, one that is newer than this call."""
        now = datetime.now(UTC)
        while True:
            for heartbeat in self.ledger.telemetry.heartbeats():
                if heartbeat.kind == "worker" and heartbeat.moment > now:
                    return heartbeat
            time.sleep(0.05)

    def verdict(self, part: str) -> Verdict:
        """The verdict on a part, from the ledger."""
        state = self.ledger.jobs.state(self.results[part])
        if state is None or state.verdict is None:
            raise RuntimeError(f"{part} has no verdict")
        return state.verdict


@contextmanager
def running_line(directory: Path) -> Iterator[Line]:
    """Two Redis servers, worker, result writer and API below a folder, ready for frames."""
    recipes = _recipes(directory)
    write_recipes(recipes)
    stack = LocalStack(
        StackOptions(
            directory=directory,
            recipes_dir=recipes,
            checkpoint=CHECKPOINT,
            sources_file=directory / "sources.yaml",
            device="cpu",
            port=free_port(),
        )
    )
    with Supervisor() as supervisor, ApiClient(stack.api_url) as api:
        stack.start_stores(supervisor)
        stack.start_services(supervisor)
        wait_until_ready(api, supervisor)
        yield Line(
            stack,
            supervisor,
            RecipeBook(recipes),
            Ledger(_redis_url(stack, "ledger")),
            FrameStore(_redis_url(stack, "frames")),
            api,
            directory,
        )


def processes() -> dict[str, psutil.Process]:
    """The line's processes by name, and this one, `bench`, with whatever of the line is in it."""
    found = {"bench": psutil.Process()}
    for child in psutil.Process().children(recursive=True):
        try:
            command, folder = child.cmdline(), Path(child.cwd()).name
        except psutil.NoSuchProcess:
            continue
        # A Redis server writes its address over its command line, and works in its own folder.
        found[f"{folder} redis" if "-server" in command[0] else command[-1]] = child
    return found


def processor_seconds() -> dict[str, float]:
    """Processor time that each process of the line has used."""
    return {name: sum(process.cpu_times()[:2]) for name, process in processes().items()}


class OtherWork:
    """How many processors were busy with what is not the line's, since it was made."""

    def __init__(self) -> None:
        self._start, self._busy = time.perf_counter(), _others_seconds()

    def processors(self) -> float:
        """Their mean number; a process of the line that has ended meanwhile counts as other work."""
        busy = _others_seconds() - self._busy
        return max(0.0, busy / (time.perf_counter() - self._start))


def _others_seconds() -> float:
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return float(busy - sum(processor_seconds().values()))


def encoded(pictures: Pictures, count: int, prefix: str) -> list[tuple[str, bytes]]:
    """That many frames with their parts' names, as PNG."""
    return [(f"{prefix}-{number}", encode_png(pictures.frame())) for number in range(count)]


def threads() -> str:
    """What bounds the processors each process uses."""
    return os.environ.get("OMP_NUM_THREADS", "not set")


def _recipes(directory: Path) -> Path:
    return directory / "recipes"


def _redis_url(stack: LocalStack, name: str) -> str:
    return f"redis://127.0.0.1:{stack.ports[name]}/0"


def _config(camera: SimulatedCamera) -> FolderConfig:
    return FolderConfig(
        kind="folder", camera_id=camera.camera_id, recipe_id=camera.recipe_id, path=Path(), is_simulated=True
    )
