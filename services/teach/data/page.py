"""The outcome of a check as one HTML file that loads nothing from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.infra.process.errors import LynceusError
from services.teach.data.report import CheckReport, FindingRecord
from services.teach.drawing import environment, picture_uri

SHOWN_PER_KIND = 50
SHOWN_PICTURES = 24
ACROSS = ("copy-across-splits", "copy-under-two-labels")
ODD = ("odd-one-out",)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the page."""

    uri: str
    file: str
    said: str


def check_page(report: CheckReport) -> str:
    """The page, with the first copies and odd ones as pictures."""
    root = Path(report.folder)
    return (
        environment()
        .get_template("check.html")
        .render(
            report=report,
            findings=list(_shortened(report)),
            pairs=list(_pictures(root, report, ACROSS)),
            odd=list(_pictures(root, report, ODD)),
        )
    )


def _shortened(report: CheckReport) -> Iterator[tuple[str, str, FindingRecord, int]]:
    """The first findings of each kind, the last of them with how many more there are."""
    for level, code, count in report.kinds():
        same = [each for each in report.findings if (each.level, each.code) == (level, code)][:SHOWN_PER_KIND]
        for number, each in enumerate(same, start=1):
            yield level, code, each, count - number if number == len(same) else 0


def _pictures(root: Path, report: CheckReport, codes: tuple[str, ...]) -> Iterator[Shown]:
    found = [each for each in report.findings if each.code in codes and each.file is not None]
    for each in found[:SHOWN_PICTURES]:
        try:
            yield Shown(picture_uri(root / str(each.file)), str(each.file), each.detail)
        except (LynceusError, OSError):
            # A file that went away meanwhile is named in the table all the same.
            continue
