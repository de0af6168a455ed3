"""/v1/status and /v1/dead-letters: how the installation is doing, and what it had to give up."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.ports import PortsOf
from services.api.representations import DeadLetterList
from services.api.state.plant import PlantStatus, plant_status
from services.api.state.sentences import in_words

router = APIRouter(prefix="/v1", tags=["status"])


class StatusAnswer(PlantStatus):
    """The state of the installation, in numbers and in words."""

    in_words: tuple[str, ...]


@router.get("/status", summary="How the installation is doing")
def status(ports: PortsOf) -> StatusAnswer:
    """Queues, processes, models, latencies, cameras, counters and stores at this moment."""
    now = plant_status(ports)
    return StatusAnswer(**dict(now), in_words=in_words(now))


@router.get("/dead-letters", summary="Jobs that were given up")
def dead_letters(ports: PortsOf, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> DeadLetterList:
    """The newest dead letters with the problem that ended each, newest first."""
    return DeadLetterList(dead_letters=tuple(ports.ledger.jobs.dead_letters(limit)))
