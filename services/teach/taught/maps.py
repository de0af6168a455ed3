"""How well anomaly maps find what masks mark: area under ROC over pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from engine.tuning import TaughtPart
from services.infra.intake.regions import apply_regions
from services.teach.taught.lesson import Sample, read_pixels

MARKED = 127
"""Grey value of a mask above which a pixel is defective."""


def map_auroc(part: TaughtPart, samples: Sequence[Sample]) -> float | None:
    """Over the places of the maps of all pictures with a mask; None where no mask marks anything."""
    odd, marked = [], []
    for sample in samples:
        if sample.picture.mask is not None:
            anomaly = sample.judged_by(part).anomaly_map
            odd.append(anomaly.ravel())
            marked.append(_mask(sample, anomaly.shape).ravel())
    if not odd or not any(each.any() for each in marked):
        return None
    return float(roc_auc_score(np.concatenate(marked), np.concatenate(odd)))


def _mask(sample: Sample, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The mask over what was looked at, at the size of the map [h, w]."""
    assert sample.picture.mask is not None, sample.picture.path
    whole = read_pixels(sample.picture.mask)
    grey = apply_regions(whole, sample.regions.model_copy(update={"ignore": ()}))[..., 0]
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX)) > MARKED
