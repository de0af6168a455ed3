"""`lynceus evaluate`: how well a recipe judges a folder of labelled pictures."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import CHECKPOINT, RECIPES


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled pictures.")],
    recipe: Annotated[str, typer.Option(help="Recipe that judges them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots and the worst mistakes.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression for what belongs together.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="Class of pictures without a label.")] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    checkpoint: Annotated[Path, typer.Option(help="Model of a recipe that was not taught.")] = CHECKPOINT,
) -> None:
    """Counts escapes and overkill with their intervals, and everything else an auditor asks for."""
    from services.cli.judging import judged_folder
    from services.cli.measured import show_evaluation
    from services.teach.data import CheckOptions
    from services.teach.taught.calibrate import evaluated, evaluated_page

    found = judged_folder(folder, recipe, recipes, checkpoint, CheckOptions(group, unlabelled))
    result = evaluated(found)
    if html is not None:
        html.write_text(evaluated_page(found, result), encoding="utf-8")
    if as_json:
        output.print_json(result.model_dump_json())
        return
    for label in found.judged.unknown:
        say(output, f"the recipe has no class for {label!r}; its pictures are left out")
    say(output, f"{found.judged.scores} scores of {result.pictures} pictures")
    show_evaluation(result)
