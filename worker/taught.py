"""The parts that recipes were taught: asked about frames beside the engine, and where a frame looks odd."""

import base64
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from engine import EngineError, Opinion, TaughtPart, TaughtPartInvalid, digest_of, load_part
from schemas.evidence import Taught
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import AnomalyMap, Box
from services.infra.intake import RecipeBook
from services.infra.intake.regions import looked_at
from services.infra.process.errors import RecipeInvalid

FIRST_LOOK = (512, 512, 3)
"""The picture that is looked at before any part comes; what libraries set up at first use is then there."""

log = structlog.get_logger()

LONGEST = 96
"""Pixels of the longer side of a kept map: a few kilobytes beside the verdict."""


class TaughtParts:
    """Keeps what recipes name, and asks it in a thread of its own, which alone reads and keeps it."""

    def __init__(self, recipes: RecipeBook) -> None:
        self._recipes = recipes
        self._kept: dict[str, tuple[str, TaughtPart]] = {}
        # One thread: its products already use every core that the process may use.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="taught")

    def prepare(self) -> Future[None]:
        """Reads what the recipes name now, and looks at a picture once, so that no part waits for either."""
        return self._thread.submit(self._prepare, self._recipes.recipes)

    def ask(
        self, recipe: Recipe, frame: NDArray[np.uint8], golden: NDArray[np.uint8] | None = None
    ) -> Future[Opinion]:
        """The opinion on a frame, RGB [H, W, 3], of what the recipe was taught.

        `golden` is a good part beside it, which a recipe that was taught in pairs compares it with.
        Its error is RecipeInvalid where the recipe names something that is not there or is not whole.
        """
        return self._thread.submit(self._judge, recipe, frame, golden)

    def _prepare(self, recipes: Sequence[Recipe]) -> None:
        for recipe in recipes:
            if recipe.taught is None or self._is_kept(recipe.recipe_id, recipe.taught):
                continue
            try:
                blank = np.zeros(FIRST_LOOK, np.uint8)
                self._judge(recipe, blank, blank)
            except (RecipeInvalid, EngineError) as error:
                # Its parts will say so, each with its own dead letter; the other recipes work.
                log.warning("taught_part_not_ready", recipe_id=recipe.recipe_id, detail=error.detail)

    def _judge(self, recipe: Recipe, frame: NDArray[np.uint8], golden: NDArray[np.uint8] | None) -> Opinion:
        return self._part(recipe).judge(frame, golden)

    def _is_kept(self, recipe_id: str, taught: Taught) -> bool:
        kept = self._kept.get(recipe_id)
        return kept is not None and kept[0] == taught.digest

    def _part(self, recipe: Recipe) -> TaughtPart:
        taught = recipe.taught
        if taught is None:
            raise ValueError(f"recipe {recipe.recipe_id!r} names nothing that was taught")
        if self._is_kept(recipe.recipe_id, taught):
            return self._kept[recipe.recipe_id][1]
        folder = self._recipes.directory / taught.path
        try:
            found, part = digest_of(folder), load_part(folder)
        except TaughtPartInvalid as error:
            raise RecipeInvalid(error.detail, hint=error.hint) from error
        if found != taught.digest:
            raise RecipeInvalid(
                f"{taught.path} holds {found[:12]}, recipe {recipe.recipe_id!r} names {taught.digest[:12]}",
                hint="teach the part again, or copy the folder whole",
            )
        self._kept[recipe.recipe_id] = taught.digest, part
        return part


def anomaly_map_of(opinion: Opinion, job: InspectionJob, recipe: Recipe) -> AnomalyMap:
    """The map over the looked-at rectangle, and its hottest region, both in pixels of the frame."""
    left, top, width, height = looked_at(recipe.regions, job.frame.height, job.frame.width)
    hottest = None
    if opinion.box is not None:
        x, y, across, down = opinion.box
        hottest = Box(x=left + x, y=top + y, width=across, height=down)
    return AnomalyMap(
        area=Box(x=left, y=top, width=width, height=height), png=_png(opinion.anomaly_map), hottest=hottest
    )


def _png(odd: NDArray[np.float32]) -> bytes:
    """Grey PNG of values 0 to 1, at most LONGEST pixels a side."""
    scale = min(1.0, LONGEST / max(odd.shape))
    size = (max(1, round(odd.shape[1] * scale)), max(1, round(odd.shape[0] * scale)))
    grey = (np.clip(odd, 0.0, 1.0) * 255).astype(np.uint8)
    _, encoded = cv2.imencode(".png", cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    return base64.b64encode(encoded.tobytes())
