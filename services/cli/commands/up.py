"""`lynceus up`: the same processes as the demo's, staying until they are asked to end."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import CHECKPOINT, RECIPES, SOURCES_FILE, UP_DIRECTORY


def up(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the model checkpoint.")] = CHECKPOINT,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    sources: Annotated[Path, typer.Option(help="YAML file of cameras.")] = SOURCES_FILE,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    directory: Annotated[Path, typer.Option(help="Where everything it keeps lies.")] = UP_DIRECTORY,
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port of the API.")] = 8000,
) -> None:
    """Runs the whole installation on this machine and restarts what ends, until Ctrl-C."""
    from services.cli.local.stack import StackOptions
    from services.cli.local.supervision import run_plant

    options = StackOptions(
        directory=directory.absolute(),
        recipes_dir=recipes.absolute(),
        checkpoint=checkpoint.absolute(),
        sources_file=sources.absolute(),
        device=device,
        port=port,
    )
    try:
        run_plant(options, output)
    except KeyboardInterrupt:
        say(output, "Stopped.")
        raise
