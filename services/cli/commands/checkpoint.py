"""`lynceus checkpoint`: what a folder of model files would do, before anything of it is loaded."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output


def checkpoint(
    directory: Annotated[Path, typer.Argument(help="Folder of the downloaded or quantized checkpoint.")],
    side: Annotated[int, typer.Option(help="Side of the sample picture in pixels.", min=28)] = 448,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Says what is in a checkpoint, its prompts, and what is missing; exit code 1 unless all would work."""
    import json

    from services.cli.checkpoint.examination import examine
    from services.cli.checkpoint.rendering import as_json as in_json
    from services.cli.checkpoint.rendering import print_examination

    seen = examine(directory, side)
    if as_json:
        output.print_json(json.dumps(in_json(seen)))
    else:
        print_examination(output, seen)
    if not (seen.inspection_works and seen.report_works):
        raise typer.Exit(1)
