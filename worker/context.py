"""What the two queues of a GPU worker share."""

import threading
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from engine import Engine, EngineClosed
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import Versions
from services.infra.intake import RecipeBook
from services.infra.process.errors import RecipeInvalid, UnknownRecipe
from services.infra.process.heartbeat import Progress, Stages, code_version
from services.infra.process.names import Queue
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.wake_up import WakeUp
from worker.leases import Leases
from worker.pixels import GoldenImages
from worker.taught import TaughtParts

LOOK_SECONDS = 0.02
"""How often the queues are looked at while the engine is busy and ends nothing."""

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerContext:
    """The stores, the engine and the limits of one GPU worker; `stop` is set when it is asked to end.

    `hung` is set by the watchdog when the engine no longer comes to the end of a step.
    """

    consumer: str
    queues: Collection[Queue]
    ledger: Ledger
    frames: FrameStore
    recipes: RecipeBook
    golden: GoldenImages
    taught: TaughtParts
    wake_up: WakeUp
    engine: Engine
    leases: Leases
    progress: Progress
    stop: threading.Event
    reports_at_once: int
    max_deliveries: int
    linger_seconds: float
    """How long a work loop waits for more before it ends."""
    hung: threading.Event = field(default_factory=threading.Event)
    _answered: threading.Event = field(default_factory=threading.Event)

    @property
    def stages(self) -> Stages:
        """Where the worker's time goes."""
        return self.progress.stages

    def wake_at(self, future: Future[Any]) -> None:
        """Ends the worker's rest when the engine answers."""
        future.add_done_callback(lambda _: self._answered.set())

    def rest(self) -> None:
        """Returns when the engine has answered something, or when it is time to look at the queues."""
        self._answered.wait(LOOK_SECONDS)
        self._answered.clear()

    def require_engine(self) -> None:
        """Raises EngineClosed where the watchdog found the engine hung."""
        if self.hung.is_set():
            raise EngineClosed(
                "a step of the engine does not end", "the worker ends and is to be started again"
            )

    def reload_recipes(self) -> None:
        """Takes up edited recipes; wrong ones are counted and logged, and the old ones stay in force."""
        try:
            if self.recipes.reload_if_changed():
                self.taught.prepare()
        except RecipeInvalid as error:
            self.progress.fail(error)
            log.warning("recipes_invalid", detail=error.detail)

    def recipe_of(self, job: InspectionJob) -> Recipe:
        """The recipe that the part was accepted under.

        Raises UnknownRecipe when it is gone or its version is another now: a verdict under thresholds that
        were not in force when the part was accepted would be one that nobody asked for.
        """
        recipe = self.recipes.get(job.part.recipe_id)
        if recipe.version != job.part.recipe_version:
            raise UnknownRecipe(
                f"recipe {recipe.recipe_id!r} is at version {recipe.version}, the part was accepted under "
                f"version {job.part.recipe_version}",
                hint="submit the part again under the present version",
            )
        return recipe

    def versions(self, recipe: Recipe | None) -> Versions:
        """What produces the results of this worker; no recipe digest where the recipe is not loaded."""
        info = self.engine.info
        return Versions(
            code_version=code_version(),
            model_name=info.model_name,
            model_digest=info.checkpoint_digest,
            recipe_digest=recipe.digest if recipe else None,
        )
