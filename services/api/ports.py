"""What the REST service works with, handed to every route."""

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from services.infra.doorbell import Bell
from services.infra.frames import FrameStore
from services.infra.ledger import Ledger
from services.infra.recipes import RecipeBook
from services.infra.results import ResultStore
from services.infra.settings import ApiSettings
from services.infra.submission import Submission


@dataclass(frozen=True, slots=True)
class Ports:
    """The stores and settings of one application; the routes own no state of their own."""

    settings: ApiSettings
    ledger: Ledger
    frames: FrameStore
    results: ResultStore
    doorbell: Bell
    recipes: RecipeBook
    submission: Submission
    """The door through which a new inspection comes in."""
    uploads: CapacityLimiter
    """How many uploads are decoded at once: at 25 megapixels each takes 75 MB."""
    listeners: CapacityLimiter
    """How many event streams are open at once: each holds a thread and a Redis connection."""


def _ports(request: Request) -> Ports:
    ports: Ports = request.app.state.ports
    return ports


PortsOf = Annotated[Ports, Depends(_ports)]
