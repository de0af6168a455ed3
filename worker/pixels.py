"""From a job to the pixels that the model sees."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from schemas.job import DiagnosisJob, InspectionJob
from schemas.recipe import Recipe
from services.infra.intake import images
from services.infra.process.errors import FrameInvalid
from services.infra.stores.frames import missing
from worker.context import WorkerContext
from worker.regions import apply_regions


def seen_pixels(
    context: WorkerContext, job: InspectionJob | DiagnosisJob, frame: bytes | None, recipe: Recipe
) -> NDArray[np.uint8]:
    """RGB uint8 [H, W, 3]: the job's frame, decoded, with the recipe's regions applied.

    Raises FrameMissing where the store had none, and FrameInvalid and its kin for bytes that are not the
    image the job speaks of.
    """
    if frame is None:
        raise missing(job.result_id)
    with context.stages.timed("decode"):
        if (digest := hashlib.sha256(frame).hexdigest()) != job.frame.digest:
            raise FrameInvalid(
                f"the stored frame has digest {digest}, the job speaks of {job.frame.digest}",
                hint="submit the part again under a new result id",
            )
        return apply_regions(images.decode(frame), recipe.regions)
