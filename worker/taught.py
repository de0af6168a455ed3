"""The parts that recipes were taught: asked about frames beside the engine, and where a frame looks odd."""

import base64
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from engine import Opinion, TaughtPart, TaughtPartInvalid, digest_of, load_part
from schemas.job import InspectionJob
from schemas.recipe import Recipe
from schemas.verdict import AnomalyMap, Box
from services.infra.intake import RecipeBook
from services.infra.intake.regions import looked_at
from services.infra.process.errors import RecipeInvalid

LONGEST = 96
"""Pixels of the longer side of a kept map: a few kilobytes beside the verdict."""


class TaughtParts:
    """Reads what a recipe names once for each digest of it; used by one thread."""

    def __init__(self, recipes: RecipeBook) -> None:
        self._recipes = recipes
        self._kept: dict[str, tuple[str, TaughtPart]] = {}
        # One thread: its products already use every core that the process may use.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="taught")

    def ask(self, recipe: Recipe, frame: NDArray[np.uint8]) -> Future[Opinion]:
        """The opinion on a frame, RGB [H, W, 3], of what the recipe was taught.

        Raises RecipeInvalid where the recipe names something that is not there or is not whole.
        """
        return self._thread.submit(self._part(recipe).judge, frame)

    def _part(self, recipe: Recipe) -> TaughtPart:
        taught = recipe.taught
        if taught is None:
            raise ValueError(f"recipe {recipe.recipe_id!r} names nothing that was taught")
        kept = self._kept.get(recipe.recipe_id)
        if kept is not None and kept[0] == taught.digest:
            return kept[1]
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
