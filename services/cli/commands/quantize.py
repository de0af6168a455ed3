"""`lynceus quantize`: a checkpoint with its experts in 2 bits."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import RECIPES


def quantize(
    source: Annotated[Path, typer.Argument(help="Folder of the released checkpoint.")],
    target: Annotated[Path, typer.Argument(help="New folder for the quantized one.")],
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Folder of pictures from the line; a subfolder named as a recipe is asked with it."
        ),
    ] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    bits_elsewhere: Annotated[
        int, typer.Option(help="Bits of a weight that is not a routed expert's: 8 or 4.")
    ] = 8,
    window_bits: Annotated[
        int, typer.Option("--L", help="Bits of the code's window: 16, 18 or 20; more is slower and nearer.")
    ] = 16,
) -> None:
    """Stores the experts in 2 bits; the same command after an interruption goes on where it was."""
    from engine import EngineError
    from engine.compression import Options, compress
    from services.cli.compression.calibration import read_examples
    from services.cli.compression.progress import shown, summary
    from services.cli.errors import EngineRefused

    examples = () if calibrate is None else read_examples(calibrate, recipes)
    try:
        options = Options(window_bits, bits_elsewhere)
        with shown(output) as on_progress:
            totals = compress(source, target, options, examples, on_progress)
    except EngineError as error:
        raise EngineRefused(error.detail, hint=error.hint) from error
    for line in summary(totals, target):
        say(output, line)
