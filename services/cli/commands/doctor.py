"""`lynceus doctor`: what is missing on this machine, and the hint."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.errors import ChecksFailed
from services.cli.places import CHECKPOINT, RECIPES, UP_DIRECTORY

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the model checkpoint.")] = CHECKPOINT,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    port: Annotated[int, typer.Option(help="TCP port of the API.")] = 8000,
) -> None:
    """Checks Python, torch, device, Redis, disk, checkpoint, recipes and port; exit code 1 when one fails."""
    from services.cli.local.checks import CheckLevel, run_checks

    failed = []
    for check in run_checks(UP_DIRECTORY, recipes, checkpoint, device, port):
        style = STYLES[check.level]
        output.print(f"[{style}]{check.level:5}[/{style}]{check.name:11}", end="")
        say(output, check.found)
        if check.level is not CheckLevel.OK:
            say(output, f"{'':16}hint: {check.hint}")
        if check.level is CheckLevel.FAIL:
            failed.append(check.name)
    if failed:
        raise ChecksFailed(
            f"{len(failed)} of the checks failed: {', '.join(failed)}", hint="see each hint above"
        )
