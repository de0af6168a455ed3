"""/healthz: this process answers. /readyz: everything a part needs to get its verdict is there."""

from collections.abc import Callable, Iterator

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from schemas.base import Message
from schemas.problem import FieldError, Problem
from services.api.ports import Ports, PortsOf
from services.api.problems import problem_response
from services.api.state.plant import ALIVE_SECONDS, processes
from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import Queue
from services.infra.stores.results import ResultFilters

router = APIRouter(tags=["health"])

RETRY_AFTER = "5"


class Liveness(Message):
    """Says that the process answers."""

    status: str = "alive"


class Readiness(Message):
    """Says that everything is there, and what was looked at."""

    status: str = "ready"
    checked: tuple[str, ...]


@router.get("/healthz", summary="This process answers")
async def healthz() -> Liveness:
    """Alive, whatever the stores do; restart the process when this fails."""
    return Liveness()


@router.get(
    "/readyz",
    summary="Parts get their verdicts",
    response_model=Readiness,
    responses={503: {"model": Problem}},
)
def readyz(request: Request, ports: PortsOf) -> Response:
    """200 when ledger, frame store, database and a worker are there; else 503 naming each that is not."""
    failures = [failure for failure in _failures(ports) if failure is not None]
    if failures:
        return problem_response(_not_ready(failures, request.url.path), {"Retry-After": RETRY_AFTER})
    return JSONResponse(Readiness(checked=tuple(CHECKS)).model_dump())


def _not_ready(failures: list[FieldError], path: str) -> Problem:
    names = ", ".join(failure.field for failure in failures)
    return Problem(
        type="/problems/not-ready",
        title="Not ready",
        status=503,
        detail=f"parts do not get their verdicts now: {names}",
        code="not-ready",
        instance=path,
        hint="see `errors` for the hint of each",
        errors=tuple(failures),
    )


def _failures(ports: Ports) -> Iterator[FieldError | None]:
    for name, check in CHECKS.items():
        try:
            yield check(ports)
        except StoreUnavailable as error:
            yield FieldError(field=name, detail=error.detail, hint=error.hint or HINTS[name])


def _ledger(ports: Ports) -> None:
    ports.ledger.jobs.waiting(Queue.INSPECT)


def _frames(ports: Ports) -> None:
    ports.frames.used_fraction()


def _database(ports: Ports) -> None:
    ports.results.page(ResultFilters(), None, 1)


def _worker(ports: Ports) -> FieldError | None:
    workers = [process for process in processes(ports.ledger) if process.is_live_worker]
    if any(worker.judges for worker in workers):
        return None
    if workers:
        reasons = "; ".join(f"{worker.heartbeat.name}: {worker.heartbeat.fault}" for worker in workers)
        return FieldError(field="worker", detail=f"no worker can go on: {reasons}", hint=RESTART)
    detail = f"no worker has given a heartbeat within {ALIVE_SECONDS:.0f} s"
    return FieldError(field="worker", detail=detail, hint=HINTS["worker"])


CHECKS: dict[str, Callable[[Ports], FieldError | None]] = {
    "ledger": _ledger,
    "frames": _frames,
    "database": _database,
    "worker": _worker,
}

RESTART = "its supervisor starts it again; where none does, start it by hand and look into its log"

HINTS = {
    "ledger": "start the ledger's Redis, or correct LYNCEUS_LEDGER_URL",
    "frames": "start the frames' Redis, or correct LYNCEUS_FRAMES_URL",
    "database": "start the database, or correct LYNCEUS_DATABASE_URL",
    "worker": "start a worker with `python -m worker`, or look into its log",
}
