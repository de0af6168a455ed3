"""The state of the whole installation at one moment, for /v1/status, /metrics and the overview page."""

from datetime import UTC, datetime

from schemas.base import Message, Timestamp
from services.api.ports import Ports
from services.api.state.latencies import RECENT_RESULTS, Latency, latencies
from services.infra.process.heartbeat import Heartbeat
from services.infra.process.names import Queue
from services.infra.stores.ledger import CameraFrame, Ledger
from services.infra.stores.results import ResultFilters

ALIVE_SECONDS = 30.0
"""A process that gave no heartbeat for this long is taken for dead."""

DEAD_LETTERS_COUNTED = 1000
"""Dead letters are counted up to this many; beyond it, more of them say nothing new."""


class QueueState(Message):
    """What waits in one queue."""

    queue: Queue
    waiting: int
    oldest_wait_seconds: float


class Process(Message):
    """A process's last heartbeat, and how long ago it was."""

    heartbeat: Heartbeat
    silent_seconds: float
    is_alive: bool

    @property
    def is_live_worker(self) -> bool:
        """True when this is a worker that gave a heartbeat lately."""
        return self.is_alive and self.heartbeat.kind == "worker"

    @property
    def judges(self) -> bool:
        """True when this is a live worker whose engine can go on."""
        return self.is_live_worker and self.heartbeat.fault is None


class CameraState(Message):
    """A camera's last frame, and how long ago it was."""

    frame: CameraFrame
    silent_seconds: float


class Model(Message):
    """A model that live workers judge with."""

    name: str
    digest: str | None
    device: str | None


class PlantStatus(Message):
    """Everything that a person on the line asks first."""

    moment: Timestamp
    queues: tuple[QueueState, ...]
    processes: tuple[Process, ...]
    models: tuple[Model, ...]
    latencies: tuple[Latency, ...]
    cameras: tuple[CameraState, ...]
    counters: dict[str, int]
    dead_letters: int
    frames_used: float
    """How full the frame store's memory is, 0 to 1."""
    ledger_used: float
    """How full the ledger's memory is, 0 to 1."""


def plant_status(ports: Ports) -> PlantStatus:
    """Ask every store once. Raises StoreUnavailable."""
    now = datetime.now(UTC)
    ledger = ports.ledger
    seen = processes(ledger)
    recent = ports.results.page(ResultFilters(), None, RECENT_RESULTS).results
    return PlantStatus(
        moment=now,
        queues=tuple(
            QueueState(
                queue=queue,
                waiting=ledger.jobs.waiting(queue),
                oldest_wait_seconds=ledger.jobs.oldest_wait_seconds(queue),
            )
            for queue in Queue
        ),
        processes=seen,
        models=_models(seen),
        latencies=latencies(recent),
        cameras=tuple(
            CameraState(frame=frame, silent_seconds=_age(frame.moment, now))
            for frame in ledger.telemetry.last_frames()
        ),
        counters=ledger.telemetry.counters(),
        dead_letters=len(ledger.jobs.dead_letters(DEAD_LETTERS_COUNTED)),
        frames_used=ports.frames.used_fraction(),
        ledger_used=ledger.used_fraction(),
    )


def processes(ledger: Ledger) -> tuple[Process, ...]:
    """Every process seen within a day, alive or not. Raises StoreUnavailable."""
    now = datetime.now(UTC)
    return tuple(_process(heartbeat, now) for heartbeat in ledger.telemetry.heartbeats())


def _process(heartbeat: Heartbeat, now: datetime) -> Process:
    silent = _age(heartbeat.moment, now)
    return Process(heartbeat=heartbeat, silent_seconds=silent, is_alive=silent <= ALIVE_SECONDS)


def _models(seen: tuple[Process, ...]) -> tuple[Model, ...]:
    heartbeats = (process.heartbeat for process in seen if process.is_alive)
    models = (
        Model(name=heartbeat.model_name, digest=heartbeat.model_digest, device=heartbeat.device)
        for heartbeat in heartbeats
        if heartbeat.model_name is not None
    )
    return tuple(dict.fromkeys(models))


def _age(moment: datetime, now: datetime) -> float:
    # Clocks of two machines differ a little; a heartbeat from the future is a fresh one.
    return max(0.0, (now - moment).total_seconds())
