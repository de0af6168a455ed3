"""`lynceus data`: a plant's own pictures, looked through before anything is taught from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import output, say
from services.cli.errors import ChecksFailed

if TYPE_CHECKING:
    from services.teach.data import CheckReport

data = typer.Typer(name="data", help="A plant's own pictures.", no_args_is_help=True)

LEVEL_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}
SHOWN_PER_KIND = 3


@data.callback()
def _data() -> None:
    """A plant's own pictures."""


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled pictures.")],
    group: Annotated[
        str | None, typer.Option(help="Regular expression for what belongs together, as in (lot\\d+).")
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(help="Class of pictures that no label file names; left out without.")
    ] = None,
    odd: Annotated[
        bool, typer.Option("--odd", help="Also compare the good pictures with each other.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything found as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the pictures to look at.")] = None,
) -> None:
    """Recognises the layout, counts, finds copies, and names everything wrong; exit code 1 on an error."""
    from services.cli.progress import counting
    from services.teach.data import CheckOptions, checked
    from services.teach.data.check import with_findings
    from services.teach.data.page import check_page

    with counting("looking at pictures") as progress:
        found = checked(folder, CheckOptions(group, unlabelled), progress)
    report = found.report
    if odd:
        from services.teach.taught.odd import odd_ones

        with counting("comparing good pictures") as progress:
            report = with_findings(report, folder, odd_ones(found, progress=progress))
    if html is not None:
        html.write_text(check_page(report), encoding="utf-8")
    if as_json:
        output.print_json(report.model_dump_json())
    else:
        _show(report)
    if report.errors:
        raise ChecksFailed(
            f"{report.errors} things in {folder} are wrong", hint="correct them, or teach from the rest"
        )


def _show(report: "CheckReport") -> None:
    from rich.table import Table

    say(output, f"{report.layout}: {report.readable} of {report.pictures} labelled pictures can be read")
    table = Table("class", "pictures", "by split", box=None, header_style="bold")
    for each in report.classes:
        splits = ", ".join(f"{name} {count}" for name, count in each.splits.items())
        table.add_row(f"{each.label} (good)" if each.good else each.label, str(each.pictures), splits)
    output.print(table)
    sizes = [f"{each.pictures} of {each.width} x {each.height}" for each in report.sizes[:SHOWN_PER_KIND]]
    say(output, f"sizes: {', '.join(sizes)}{', ...' if len(report.sizes) > SHOWN_PER_KIND else ''}")
    if report.groups.count:
        say(output, f"kept together by {report.groups.by}: {report.groups.count} groups")
    copies = report.copies
    say(
        output,
        f"copies: {copies.exact_pictures} exact, {copies.near_pictures} near; "
        f"{copies.across_splits} outside train with their original in train",
    )
    _show_findings(report)


def _show_findings(report: "CheckReport") -> None:
    for level, code, count in report.kinds():
        output.print(f"[{LEVEL_STYLES[level]}]{level}[/] {code} ({count})", highlight=False)
        same = [each for each in report.findings if (each.level, each.code) == (level, code)]
        for each in same[:SHOWN_PER_KIND]:
            line = f":{each.line}" if each.line else ""
            say(output, f"  {each.file + line + ' ' if each.file else ''}{each.detail}")
        if count > SHOWN_PER_KIND:
            say(output, f"  and {count - SHOWN_PER_KIND} more; --json lists them")
        say(output, f"  hint: {same[0].hint}")
