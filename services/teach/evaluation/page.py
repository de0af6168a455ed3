"""An evaluation as one HTML file with its plots and the worst mistakes, loading nothing from elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path

from services.infra.intake.images import Rgb, decode
from services.infra.process.errors import LynceusError
from services.teach.drawing import environment, pixels_uri
from services.teach.evaluation.figures import Evaluation, Mistake
from services.teach.plots import Plot, across, curve, diagonal, down

OverlayOf = Callable[[Path], Rgb]
"""A picture file with its anomaly map drawn over it."""

LARGEST_DOT = 12.0


def evaluation_page(result: Evaluation, overlay_of: OverlayOf | None = None) -> str:
    """The page; `overlay_of` draws the worst mistakes, which are shown as they are without it."""
    return (
        environment()
        .get_template("evaluation.html")
        .render(result=result, plots=list(_plots(result)), worst=list(_worst(result, overlay_of)))
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


def _worst(result: Evaluation, overlay_of: OverlayOf | None) -> Iterator[tuple[Mistake, str]]:
    for each in result.worst:
        path = Path(result.folder) / each.file
        try:
            rgb = decode(path.read_bytes()) if overlay_of is None else overlay_of(path)
        except (LynceusError, OSError):
            # Gone since it was judged; its line in the JSON stays.
            continue
        yield each, pixels_uri(rgb)
