"""How measured error rates and calibrated thresholds look on a terminal."""

from rich.markup import escape
from rich.table import Table

from services.cli.console import output, say
from services.teach.calibration import Calibration
from services.teach.evaluation import Evaluation, Rate


def show_evaluation(result: Evaluation) -> None:
    """Mistakes with their intervals, then the classes."""
    mistakes = Table("", "count", "share", "95 % interval", "bound", box=None, header_style="bold")
    for name, rate in (("escapes", result.escapes), ("overkill", result.overkill), ("review", result.review)):
        mistakes.add_row(name, f"{rate.count} of {rate.total}", *_shares(rate))
    output.print(mistakes)
    classes = Table(
        "class", "pictures", "precision", "recall", "95 % interval", box=None, header_style="bold"
    )
    for each in result.classes:
        classes.add_row(
            escape(each.label),
            str(each.pictures),
            _share(each.precision),
            _share(each.recall),
            f"{each.recall_low:.1%} to {each.recall_high:.1%}",
        )
    output.print(classes)
    auroc = "" if result.auroc is None else f", area under ROC {result.auroc:.4f}"
    maps = "" if result.map_auroc is None else f", area under ROC of the maps {result.map_auroc:.4f}"
    say(
        output,
        f"balanced accuracy {result.balanced_accuracy:.1%}{auroc}, "
        f"calibration error {result.calibration_error:.1%}{maps}",
    )


def show_calibration(found: Calibration) -> None:
    """The thresholds, what they promise and cost, and what other bounds would give."""
    say(output, f"ACCEPT below {found.accept_below:g}, REJECT from {found.reject_from:g}")
    for name, rate, kind in (("escape", found.escapes, "bad"), ("overkill", found.overkill, "good")):
        if rate.total:
            say(
                output,
                f"{name} rate below {rate.bound:.2%} at {found.confidence:.0%}: "
                f"{rate.count} of {rate.total} {kind} parts",
            )
    if found.review_good is not None:
        say(
            output,
            f"review: {_share(found.review_good)} of good and {_share(found.review_bad)} of bad parts, "
            f"{found.review_load:.1%} of all where {found.defect_share:.1%} are bad",
        )
    table = Table(
        "escape bound", "accept below", "good accepted", "good reviewed", "bad parts needed", box=None
    )
    for each in found.what_if:
        limit = "-" if each.accept_below is None else f"{each.accept_below:g}"
        table.add_row(
            f"{each.max_escape:.1%}",
            limit,
            _share(each.accepted),
            _share(each.review),
            str(each.parts_needed),
        )
    output.print(table)


def _shares(rate: Rate) -> tuple[str, str, str]:
    if not rate.total:
        return "-", "-", "-"
    return _share(rate.share), f"{rate.low:.1%} to {rate.high:.1%}", f"{rate.bound:.1%}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
