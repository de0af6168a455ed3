"""An evaluation as one HTML file with its plots and the worst mistakes, loading nothing from elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.infra.intake.images import decode
from services.infra.process.errors import LynceusError
from services.teach.drawing import environment, pixels_uri, with_map
from services.teach.evaluation.figures import Evaluation, Mistake
from services.teach.plots import Plot, across, curve, diagonal, down

MapOf = Callable[[Path], NDArray[np.float32] | None]
"""The anomaly map [h, w] of a picture, 0 to 1, or None."""

LARGEST_DOT = 12.0


def evaluation_page(result: Evaluation, map_of: MapOf | None = None) -> str:
    """The page; `map_of` gives the maps that are drawn over the worst mistakes."""
    return (
        environment()
        .get_template("evaluation.html")
        .render(result=result, plots=list(_plots(result)), worst=list(_worst(result, map_of)))
    )


def _plots(result: Evaluation) -> Iterator[Plot]:
    if result.roc:
        roc = curve([(point.x, point.y) for point in result.roc])
        yield Plot("ROC", "good parts called bad", "bad parts caught", (diagonal(), roc))
        points = curve([(point.x, point.y) for point in result.precision_recall])
        yield Plot("Precision and recall", "bad parts caught", "called bad and bad", (points,))
    bins = result.reliability
    line = curve([(each.confidence, each.accuracy) for each in bins])
    most = max(each.pictures for each in bins)
    dots = tuple(
        (
            across(each.confidence),
            down(each.accuracy),
            round(2 + (LARGEST_DOT - 2) * (each.pictures / most) ** 0.5, 1),
            f"{each.pictures} pictures: {each.confidence:.1%} sure, {each.accuracy:.1%} right",
        )
        for each in bins
    )
    yield Plot("Reliability", "how sure it was", "how often right", (diagonal(), line), dots)


def _worst(result: Evaluation, map_of: MapOf | None) -> Iterator[tuple[Mistake, str]]:
    for each in result.worst:
        path = Path(result.folder) / each.file
        try:
            rgb = decode(path.read_bytes())
        except (LynceusError, OSError):
            # Gone since it was judged; its line in the JSON stays.
            continue
        heat = map_of(path) if map_of is not None else None
        yield each, pixels_uri(rgb if heat is None else with_map(rgb, heat))
