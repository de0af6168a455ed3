"""What both lanes of a GPU worker work with."""

import threading
from dataclasses import dataclass

import structlog

from engine import Engine
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import Versions
from services.infra.doorbell import Bell
from services.infra.errors import RecipeInvalid, UnknownRecipe
from services.infra.frames import FrameStore
from services.infra.ledger import Ledger
from services.infra.recipes import RecipeBook
from worker.claims import Claims
from worker.progress import Progress
from worker.versions import code_version

log = structlog.get_logger()


@dataclass(frozen=True)
class Station:
    """The stores, the engine and the limits of one GPU worker; `stop` is set when it is asked to end."""

    consumer: str
    ledger: Ledger
    frames: FrameStore
    recipes: RecipeBook
    bell: Bell
    engine: Engine
    claims: Claims
    progress: Progress
    stop: threading.Event
    batch_size: int
    max_deliveries: int

    def recipe_of(self, job: InspectionJob) -> Recipe:
        """The recipe that the part was accepted under.

        Raises UnknownRecipe when it is gone or its version is another now: a verdict under thresholds that
        were not in force when the part was accepted would be one that nobody asked for.
        """
        recipe = self.present_recipe(job.part.recipe_id)
        if recipe.version != job.part.recipe_version:
            raise UnknownRecipe(
                f"recipe {recipe.recipe_id!r} is at version {recipe.version}, the part was accepted under "
                f"version {job.part.recipe_version}",
                mend="submit the part again under the present version",
            )
        return recipe

    def present_recipe(self, recipe_id: str) -> Recipe:
        """The recipe as it is now, which is what a report is written with. Raises UnknownRecipe."""
        # Looked for after the job was read, not before: it may be of a recipe that is seconds old.
        try:
            self.recipes.reload_if_changed()
        except RecipeInvalid as error:
            self.progress.fail(error)
            log.warning("recipes_invalid", detail=error.detail)
        return self.recipes.get(recipe_id)

    def versions(self, recipe: Recipe | None) -> Versions:
        """What produces the results of this worker; no recipe digest where the recipe is not loaded."""
        info = self.engine.info
        return Versions(
            code_version=code_version(),
            model_name=info.model_name,
            model_digest=info.checkpoint_digest,
            recipe_digest=recipe.digest if recipe else None,
        )
