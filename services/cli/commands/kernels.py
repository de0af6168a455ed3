"""`lynceus kernels`: the programs for a GPU, compiled before they are wanted."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say

kernels = typer.Typer(name="kernels", help="The programs for a GPU.", no_args_is_help=True)


@kernels.callback()
def _kernels() -> None:
    """The programs for a GPU."""


@kernels.command()
def build(
    arch: Annotated[
        list[str] | None, typer.Option(help="Architecture as in sm_90, repeatable; all usual ones without.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint whose experts to compile for; the released model's without."),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Folder for the result; beside the program without.")
    ] = None,
) -> None:
    """Compiles all kernels ahead of a worker's first start; needs no GPU, and skips what is there already."""
    from engine import EngineError
    from engine.checkpoint.config import ModelConfig
    from engine.checkpoint.files import read_json
    from services.cli.errors import EngineRefused, InputInvalid
    from services.cli.progress import counting

    try:
        from engine.kernels.cuda import ahead
        from engine.kernels.cuda.cache import SHIPPED
    except ImportError as absent:
        raise InputInvalid(
            f"the CUDA compiler is not installed: {absent}", hint="pip install 'lynceus[cuda]'"
        ) from absent

    try:
        counts = ahead.RELEASED
        if checkpoint is not None:
            text = ModelConfig.from_json(read_json(checkpoint / "config.json")).text
            counts = ahead.ExpertCounts(text.num_experts, text.experts_per_token)
        wanted = ahead.units(arch or ahead.CARDS, (counts,))
        with counting("compiling kernels") as progress:
            compiled = ahead.build(into or SHIPPED, wanted, progress)
    except EngineError as error:
        raise EngineRefused(error.detail, hint=error.hint) from error
    say(output, f"{compiled} of {len(wanted)} compiled, the others were there: {into or SHIPPED}")
