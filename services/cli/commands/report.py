"""`lynceus report ID`: the written report on a part."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import API_URL, REPORTS_DIRECTORY


def report(
    result_id: Annotated[
        str, typer.Argument(help="The id that `lynceus submit` or the overview page shows.")
    ],
    open_page: Annotated[
        bool, typer.Option("--open", help="Save the printable page and open a browser.")
    ] = False,
    directory: Annotated[Path, typer.Option(help="Where --open saves the page.")] = REPORTS_DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    api: Annotated[str, typer.Option(help="Address of the API.")] = API_URL,
) -> None:
    """Prints the report on a part, or opens the page that a quality engineer signs."""
    from services.cli.client import ApiClient
    from services.cli.rendering import print_report

    with ApiClient(api) as client:
        found = client.report(result_id)
        page = client.report_page(result_id) if open_page else None
    if as_json:
        output.print_json(found.model_dump_json())
    else:
        print_report(output, found)
    if page is not None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory.absolute() / f"{result_id}.html"
        path.write_text(page, encoding="utf-8")
        say(output, f"Page: {path}")
        typer.launch(path.as_uri())
