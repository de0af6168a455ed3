"""What the REST service works with, handed to every route."""

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from services.infra.intake import RecipeBook
from services.infra.intake.submission import Submission
from services.infra.process.settings import ApiSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp


@dataclass(frozen=True, slots=True)
class Ports:
    """The stores and settings of one application; the routes own no state of their own."""

    settings: ApiSettings
    ledger: Ledger
    frames: FrameStore
    results: ResultStore
    wake_up: WakeUp
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
