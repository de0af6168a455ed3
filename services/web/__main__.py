"""`python -m services.web`: the REST service with its pages, by the settings in the environment.

`python -m services.web --openapi` prints the description of the API instead of serving it.
"""

import argparse
import sys

import uvicorn
from fastapi import FastAPI

from services.api import openapi
from services.api.app import create_app
from services.infra.intake import RecipeBook
from services.infra.process.run import run
from services.infra.process.settings import ApiSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp
from services.web.pages import add_pages

DRAIN_SECONDS = 3
"""How long open event streams may delay a stop."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; wrong settings or recipes end it at once with what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m services.web", description="The REST service with its pages."
    )
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI description and end")
    is_description_asked = parser.parse_args().openapi
    sys.exit(run("web", ApiSettings, _describe if is_description_asked else _serve))


def _describe(settings: ApiSettings) -> int:
    sys.stdout.write(openapi.as_text(_app(settings)))
    return 0


def _serve(settings: ApiSettings) -> int:
    uvicorn.run(
        _app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return 0


def _app(settings: ApiSettings) -> FastAPI:
    """The application over the stores that the settings name; they connect on first use."""
    app = create_app(
        settings,
        ledger=Ledger(settings.ledger_url),
        frames=FrameStore(settings.frames_url),
        results=ResultStore(settings.database_url),
        wake_up=WakeUp(settings.ledger_url),
        recipes=RecipeBook(settings.recipes_dir),
    )
    add_pages(app)
    return app


if __name__ == "__main__":
    main()
