"""`lynceus calibrate`: thresholds that keep a bound on escapes, with what they promise and cost."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import output, say
from services.cli.places import CHECKPOINT, RECIPES

if TYPE_CHECKING:
    from services.teach.calibration import Aims


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled pictures.")],
    recipe: Annotated[str, typer.Option(help="Recipe whose thresholds are set.")],
    max_escape: Annotated[str | None, typer.Option(help="Bound on escapes: 0.5% or 0.005.")] = None,
    max_overkill: Annotated[str | None, typer.Option(help="Bound on overkill: 3% or 0.03.")] = None,
    defect_share: Annotated[str, typer.Option(help="Share of bad parts expected on the line.")] = "1%",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the thresholds and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the calibration as JSON.")] = False,
    group: Annotated[str | None, typer.Option(help="Regular expression for what belongs together.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="Class of pictures without a label.")] = None,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    checkpoint: Annotated[Path, typer.Option(help="Model of a recipe that was not taught.")] = CHECKPOINT,
) -> None:
    """Sets both thresholds of a recipe by parts it was not taught with, or says how many it would take."""
    from services.cli.errors import InputInvalid
    from services.cli.judging import judged_folder
    from services.cli.measured import show_calibration
    from services.teach.data import CheckOptions
    from services.teach.taught.calibrate import calibrated_recipe

    if not (max_escape or max_overkill):
        raise InputInvalid("neither --max-escape nor --max-overkill is given", hint="give the bound to keep")
    aims = aims_of(max_escape, max_overkill, defect_share)
    found = judged_folder(folder, recipe, recipes, checkpoint, CheckOptions(group, unlabelled))
    result = calibrated_recipe(found, aims, who(), write=not dry_run)
    if as_json:
        output.print_json(result.calibration.model_dump_json())
        return
    say(output, f"{found.judged.scores} scores of {len(found.judged.outcomes)} pictures")
    show_calibration(result.calibration)
    for remark in result.calibration.remarks:
        say(output, remark)
    if not dry_run:
        say(output, f"{found.file}: version {result.recipe.version}, {result.recipe.standing.value}")


def aims_of(max_escape: str | None, max_overkill: str | None, defect_share: str = "1%") -> "Aims":
    """The aims as typed. Raises TeachingError naming the option."""
    from services.teach.calibration import Aims, parse_share

    return Aims(
        parse_share(max_escape, "--max-escape") if max_escape else None,
        parse_share(max_overkill, "--max-overkill") if max_overkill else None,
        defect_share=parse_share(defect_share, "--defect-share"),
    )


def who() -> str:
    """The name of the person at the terminal, for the evidence."""
    try:
        return getpass.getuser()
    except OSError:
        # A container may run under a number that has no name.
        return "unknown"
