"""The page that a quality engineer signs: one self-contained HTML file that prints on A4."""

import base64
from dataclasses import dataclass

from fastapi.responses import HTMLResponse

from schemas.recipe import Recipe, Thresholds
from schemas.verdict import Verdict
from services.api.ports import Ports
from services.api.state.lookup import Known, image_of
from services.infra.intake import images
from services.infra.process.errors import FrameMissing, UnknownRecipe
from services.web.marked_picture import marked_picture
from services.web.templating import environment, page_headers

SHOWN_BY_BROWSERS = {"image/png", "image/jpeg", "image/webp", "image/bmp"}


@dataclass(frozen=True, slots=True)
class ScoreBar:
    """One class with its probability; `is_named` marks the class that the verdict names."""

    wording: str
    probability: float
    is_acceptable: bool
    is_named: bool


def render_report(ports: Ports, known: Known) -> HTMLResponse:
    """The report as one page with its image inside; a DRAFT carries its watermark until it is signed.

    Raises StoreUnavailable; an image that is no longer kept is said to be so.
    """
    assert known.verdict is not None
    assert known.report is not None
    recipe = _recipe_used(ports, known.verdict)
    page = (
        environment()
        .get_template("report.html")
        .render(
            verdict=known.verdict,
            report=known.report,
            diagnosis=known.report.diagnosis,
            signature=known.signature,
            thresholds=_thresholds(recipe),
            part_name=recipe.part if recipe is not None else None,
            bars=_bars(known.verdict, recipe),
            image=_inline_image(ports, known),
            marked=_marked_image(ports, known),
        )
    )
    return HTMLResponse(page, headers=page_headers())


def _recipe_used(ports: Ports, verdict: Verdict) -> Recipe | None:
    """The recipe as it was for this verdict, or None when it has been changed since."""
    try:
        recipe = ports.recipes.get(verdict.part.recipe_id)
    except UnknownRecipe:
        return None
    return recipe if recipe.digest == verdict.versions.recipe_digest else None


def _thresholds(recipe: Recipe | None) -> Thresholds | None:
    return recipe.thresholds if recipe is not None else None


def _bars(verdict: Verdict, recipe: Recipe | None) -> list[ScoreBar]:
    classes = {defect.name: defect for defect in recipe.classes} if recipe is not None else {}
    bars = [
        ScoreBar(
            wording=classes[score.name].wording if score.name in classes else score.name,
            probability=score.probability,
            is_acceptable=score.name in classes and classes[score.name].acceptable,
            is_named=score.name == verdict.defect_class,
        )
        for score in verdict.scores
    ]
    return sorted(bars, key=lambda bar: -bar.probability)


def _inline_image(ports: Ports, known: Known) -> str | None:
    """The image as a data URI, or None when it is no longer kept."""
    try:
        data = image_of(ports, known)
    except FrameMissing:
        return None
    kind: str = known.frame.media_type
    if kind not in SHOWN_BY_BROWSERS:
        data, kind = images.encode_png(images.decode(data)), "image/png"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _marked_image(ports: Ports, known: Known) -> str | None:
    """The image with its anomaly map as a data URI; None where one of the two is not kept."""
    seen = known.verdict.anomaly_map if known.verdict is not None else None
    if seen is None:
        return None
    try:
        frame = images.decode(image_of(ports, known))
    except FrameMissing:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(marked_picture(frame, seen)).decode()}"
