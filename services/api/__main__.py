"""`python -m services.api`: the REST service and the dashboard, by the settings in the environment."""

import sys

import uvicorn

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
    try:
        settings = load_settings(ApiSettings)
        set_up_logging(settings, "api")
        app = create_app(
            settings,
            ledger=RedisLedger(settings.ledger_url),
            frames=RedisFrames(settings.frames_url),
            results=SqlResults(settings.database_url),
            doorbell=Doorbell(settings.ledger_url),
            recipes=RecipeBook(settings.recipes_dir),
        )
    except LynceusError as error:
        mend = f"\nmend: {error.mend}" if error.mend else ""
        sys.exit(f"{error.title}: {error.detail}{mend}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
