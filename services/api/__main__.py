"""`python -m services.api`: the REST service and the dashboard, by the settings in the environment.

`python -m services.api --openapi` prints the description of the API instead of serving it.
"""

import argparse
import sys

import uvicorn
from fastapi import FastAPI

from services.api import openapi
from services.api.app import create_app
from services.infra.doorbell import Doorbell
from services.infra.errors import LynceusError
from services.infra.frames import RedisFrames
from services.infra.ledger import RedisLedger
from services.infra.logging import set_up_logging
from services.infra.recipes import RecipeBook
from services.infra.results import SqlResults
from services.infra.settings import ApiSettings, load_settings

DRAIN_SECONDS = 3
"""How long open event streams may delay a stop."""


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; wrong settings or recipes end it at once with what to mend."""
    parser = argparse.ArgumentParser(prog="python -m services.api", description="The REST service.")
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI description and end")
    is_description_asked = parser.parse_args().openapi
    try:
        settings = load_settings(ApiSettings)
        app = _app(settings)
    except LynceusError as error:
        mend = f"\nmend: {error.mend}" if error.mend else ""
        sys.exit(f"{error.title}: {error.detail}{mend}")
    if is_description_asked:
        sys.stdout.write(openapi.as_text(app))
        return
    set_up_logging(settings, "api")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def _app(settings: ApiSettings) -> FastAPI:
    """The application over the stores that the settings name; they connect on first use."""
    return create_app(
        settings,
        ledger=RedisLedger(settings.ledger_url),
        frames=RedisFrames(settings.frames_url),
        results=SqlResults(settings.database_url),
        doorbell=Doorbell(settings.ledger_url),
        recipes=RecipeBook(settings.recipes_dir),
    )


if __name__ == "__main__":
    main()
