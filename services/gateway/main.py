"""The gateway process: `python -m services.gateway`, set up by LYNCEUS_ variables and the sources file."""

import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from threading import Event

import structlog

from schemas.problem import FieldError
from services.gateway.dead_letters import DeadLetters
from services.gateway.health import Health
from services.gateway.intake import Intake
from services.gateway.loop import ConfiguredCamera, GatewayLoop, Shared
from services.gateway.sources.config import (
    FolderConfig,
    RtspConfig,
    SourceConfig,
    UsbConfig,
    VideoFileConfig,
    load_sources,
)
from services.gateway.sources.folder import FolderSource
from services.gateway.sources.offer import Source
from services.gateway.sources.stream import StreamSource
from services.gateway.sources.video import VideoSource
from services.infra.intake import RecipeBook
from services.infra.intake.submission import Submission
from services.infra.intake.yaml_file import invalid
from services.infra.process.errors import SourcesInvalid, UnknownRecipe
from services.infra.process.run import run, stop_on_signals
from services.infra.process.settings import GatewaySettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.spool import Spool
from services.infra.stores.wake_up import WakeUp

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code is that of `run`."""
    return run("gateway", GatewaySettings, _serve)


def _serve(settings: GatewaySettings) -> int:
    loop = build(settings, stop_on_signals())
    log.info("gateway started", sources=str(settings.sources_file))
    loop.run()
    log.info("gateway stopped")
    return 0


def build(settings: GatewaySettings, stop: Event) -> GatewayLoop:
    """Wire a gateway; raises LynceusError for wrong recipes or sources, or a spool that cannot be used."""
    recipes = RecipeBook(settings.recipes_dir)
    configs = load_sources(settings.sources_file)
    _check_recipes(settings.sources_file, configs, recipes)
    ledger = Ledger(settings.ledger_url)
    health, dead_letters = Health(f"gateway-{socket.gethostname()}"), DeadLetters()
    submission = Submission(
        ledger=ledger,
        frames=FrameStore(settings.frames_url),
        wake_up=WakeUp(settings.ledger_url),
        recipes=recipes,
        frames_high_water=settings.frames_high_water,
        ledger_high_water=settings.ledger_high_water,
        stages=health.stages,
    )
    spool = Spool(settings.spool_dir, settings.spool_max_bytes)
    intake = Intake(submission, spool, health, dead_letters)
    cameras = [ConfiguredCamera(config, make_source(config, health)) for config in configs]
    return GatewayLoop(cameras, Shared(intake, ledger, recipes, health, dead_letters), stop)


def make_source(config: SourceConfig, health: Health) -> Source:
    """The source of a configuration; nothing is opened yet."""
    match config:
        case FolderConfig():
            return FolderSource(config)
        case VideoFileConfig():
            return VideoSource(config)
        case RtspConfig() | UsbConfig():
            return StreamSource(config, partial(health.note, config.camera_id))


def _check_recipes(path: Path, configs: Iterable[SourceConfig], recipes: RecipeBook) -> None:
    errors = []
    for index, config in enumerate(configs):
        try:
            recipes.get(config.recipe_id)
        except UnknownRecipe as error:
            errors.append(
                FieldError(
                    field=f"sources.{index}.recipe_id",
                    value=config.recipe_id,
                    file=str(path),
                    detail=error.detail,
                    hint=str(error.hint),
                )
            )
    if errors:
        raise invalid(SourcesInvalid, errors)
