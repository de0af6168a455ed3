"""What the model sees: a frame or a golden image, decoded, its ignored regions grey and the rest cut out."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from engine import Image
from schemas.job import DiagnosisJob, InspectionJob
from schemas.recipe import Recipe
from services.infra.intake import RecipeBook, images
from services.infra.intake.regions import apply_regions
from services.infra.process.errors import FrameInvalid
from services.infra.stores.frames import missing


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
