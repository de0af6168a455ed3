"""The application: stores in, routes out."""

from importlib.metadata import version

from anyio import CapacityLimiter
from fastapi import FastAPI

from services.api import openapi, problems
from services.api.limits import BodyLimit
from services.api.ports import Ports
from services.api.routers import ROUTERS
from services.infra.intake import RecipeBook
from services.infra.intake.submission import Submission
from services.infra.process.settings import ApiSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp

UPLOADS_AT_ONCE = 8
LISTENERS_AT_ONCE = 64


def create_app(
    settings: ApiSettings,
    ledger: Ledger,
    frames: FrameStore,
    results: ResultStore,
    wake_up: WakeUp,
    recipes: RecipeBook,
) -> FastAPI:
    """The REST service over these stores; it keeps nothing of its own, so any number of them may run."""
    # FastAPI's own documentation pages load scripts from elsewhere, which a factory without internet cannot.
    app = FastAPI(
        title="Lynceus", version=version("lynceus"), summary=openapi.SUMMARY, docs_url=None, redoc_url=None
    )
    app.state.ports = Ports(
        settings,
        ledger,
        frames,
        results,
        wake_up,
        recipes,
        Submission(
            ledger,
            frames,
            wake_up,
            recipes,
            frames_high_water=settings.frames_high_water,
            ledger_high_water=settings.ledger_high_water,
        ),
        uploads=CapacityLimiter(UPLOADS_AT_ONCE),
        listeners=CapacityLimiter(LISTENERS_AT_ONCE),
    )
    app.state.render_report = None
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.install(app)
    return app
