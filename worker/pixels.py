"""What the model sees: a frame or a golden image, decoded, its ignored regions grey and the rest cut out."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from engine import Image
from schemas.job import DiagnosisJob, InspectionJob
from schemas.recipe import Recipe, Region, Regions
from services.infra.intake import images
from services.infra.intake.recipes import RecipeBook
from services.infra.process.errors import FrameInvalid
from services.infra.stores.frames import missing

GREY = 128
"""Mid-grey: after normalisation close to zero, so that a greyed rectangle draws no attention."""


class GoldenImages:
    """Reads a recipe's golden images once for each version of it; used by one thread."""

    def __init__(self, recipes: RecipeBook) -> None:
        self._recipes = recipes
        self._kept: dict[str, tuple[str, tuple[Image, ...]]] = {}

    def images(self, recipe: Recipe) -> tuple[Image, ...]:
        """The recipe's golden images with its regions applied, in its order; the same objects every time.

        Raises RecipeInvalid when a file is gone, or another one than when the recipe was loaded.
        """
        if not recipe.golden:
            return ()
        digest = recipe.digest
        kept = self._kept.get(recipe.recipe_id)
        if kept is None or kept[0] != digest:
            seen = (apply_regions(pixels, recipe.regions) for pixels in self._recipes.golden_pixels(recipe))
            kept = digest, tuple(Image(pixels, recipe.max_pixels) for pixels in seen)
            self._kept[recipe.recipe_id] = kept
        return kept[1]


def frame_pixels(job: InspectionJob | DiagnosisJob, frame: bytes | None, recipe: Recipe) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3]: the job's frame, decoded, with the recipe's regions applied.

    Raises FrameMissing where the store had none, and FrameInvalid and its kin for bytes that are not the
    image the job speaks of.
    """
    if frame is None:
        raise missing(job.result_id)
    if (digest := hashlib.sha256(frame).hexdigest()) != job.frame.digest:
        raise FrameInvalid(
            f"the stored frame has digest {digest}, the job speaks of {job.frame.digest}",
            hint="submit the part again under a new result id",
        )
    return apply_regions(images.decode(frame), recipe.regions)


def apply_regions(pixels: NDArray[np.uint8], regions: Regions) -> NDArray[np.uint8]:
    """The inspected rectangle of an RGB frame [H, W, 3], with the ignored rectangles grey.

    All rectangles are fractions of the whole frame; one that reaches over the edge ends at the edge.
    The input is left as it is; without regions it is returned unchanged.
    """
    height, width = pixels.shape[:2]
    if regions.ignore:
        pixels = pixels.copy()
        for region in regions.ignore:
            pixels[_window(region, height, width)] = GREY
    if regions.inspect is not None:
        pixels = np.ascontiguousarray(pixels[_window(regions.inspect, height, width)])
    return pixels


def _window(region: Region, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a region, rounded outwards, at least one pixel and never outside the frame."""
    top = min(math.floor(region.y * height), height - 1)
    left = min(math.floor(region.x * width), width - 1)
    bottom = min(max(math.ceil((region.y + region.height) * height), top + 1), height)
    right = min(max(math.ceil((region.x + region.width) * width), left + 1), width)
    return slice(top, bottom), slice(left, right)
