"""`lynceus recipe`: what was taught for a recipe, and the way back to an older version."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import RECIPES

recipe = typer.Typer(name="recipe", help="What was taught for a recipe.", no_args_is_help=True)


@recipe.command()
def history(
    name: Annotated[str, typer.Argument(help="The recipe.")],
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
) -> None:
    """Lists the taught parts of a recipe, the newest first, with what was measured of each."""
    from rich.table import Table

    from services.cli.errors import InputInvalid
    from services.teach.taught.recipe_file import find_recipe, taught_versions

    found = find_recipe(recipes, name)
    if found is None:
        raise InputInvalid(f"no recipe in {recipes} is called {name!r}", hint="see the files there")
    now = found[1].taught.digest if found[1].taught else None
    table = Table("", "taught part", "version", "standing", "escape bound", "measured", box=None)
    for each in taught_versions(recipes, name):
        assert each.taught is not None, name
        bound = each.evidence.escape_bound if each.evidence else None
        table.add_row(
            "now" if each.taught.digest == now else "",
            each.taught.digest[:12],
            str(each.version),
            each.standing.value,
            "-" if bound is None else f"{bound:.1%}",
            f"{each.evidence.measured_at:%Y-%m-%d %H:%M}" if each.evidence else "-",
        )
    output.print(table)


@recipe.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The recipe.")],
    digest: Annotated[str, typer.Argument(help="The taught part to go back to, or its first letters.")],
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
) -> None:
    """Writes the next version of a recipe that judges with an older taught part and its thresholds."""
    from services.teach.taught.recipe_file import roll_back

    back = roll_back(recipes, name, digest)
    assert back.taught is not None, name
    say(
        output, f"{name}: version {back.version} judges with {back.taught.digest[:12]}, {back.standing.value}"
    )
