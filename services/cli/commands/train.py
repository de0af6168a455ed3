"""`lynceus train`: a plant's own part, from a folder of pictures to a recipe that is measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.console import output, say
from services.cli.places import RECIPES

if TYPE_CHECKING:
    from services.teach.taught.train import Trained


def train(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of labelled pictures.")],
    recipe: Annotated[str, typer.Option(help="Recipe to write, a new one or the next version of one.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="How long it may take.")] = 10.0,
    station: Annotated[str | None, typer.Option(help="Station of a new recipe.")] = None,
    part: Annotated[str | None, typer.Option(help="What the part is, in the words of the prompt.")] = None,
    max_escape: Annotated[str | None, typer.Option(help="Bound to keep on escapes, such as 5%.")] = None,
    max_overkill: Annotated[str | None, typer.Option(help="Bound to keep on overkill, such as 5%.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression for what belongs together.")] = None,
    unlabelled: Annotated[str | None, typer.Option(help="Class of pictures without a label.")] = None,
    seed: Annotated[int, typer.Option(help="The same pictures and seed give the same part.")] = 0,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    html: Annotated[Path | None, typer.Option(help="Write a page with every figure.")] = None,
) -> None:
    """Teaches a part, measures it on left-out pictures, sets thresholds, and writes the recipe version."""
    from services.cli.commands.calibrate import aims_of, who
    from services.cli.progress import advancing
    from services.teach.data import CheckOptions
    from services.teach.evaluation.page import evaluation_page
    from services.teach.taught.train import TrainOptions
    from services.teach.taught.train import train as teach

    aims = aims_of(max_escape, max_overkill) if max_escape or max_overkill else None
    options = TrainOptions(
        recipe, recipes, who(), station, part, minutes * 60, seed, aims, CheckOptions(group, unlabelled)
    )
    with advancing() as progress:
        trained = teach(folder, options, progress)
    if html is not None:
        html.write_text(evaluation_page(trained.test or trained.out_of_fold), encoding="utf-8")
    _show(trained)


def _show(trained: "Trained") -> None:
    from services.cli.measured import show_calibration, show_evaluation

    for level, code, count in trained.check.kinds():
        if level != "note":
            say(output, f"{level}: {code} ({count}); see lynceus data check {trained.check.folder}")
    say(output, "Each picture judged by a part that was taught without it:")
    show_evaluation(trained.out_of_fold)
    if trained.test is not None:
        say(output, "The test pictures, which were not taught:")
        show_evaluation(trained.test)
    if len(trained.curve) > 1:
        points = (f"{each.pictures:.0f} pictures a class {each.accuracy:.1%}" for each in trained.curve)
        say(output, f"learning curve: {', '.join(points)}")
    show_calibration(trained.calibration)
    for sentence in trained.advice:
        say(output, sentence)
    recipe = trained.recipe
    say(
        output,
        f"{trained.file}: version {recipe.version}, {recipe.standing.value}, station {recipe.station_id}; "
        f"taught in {trained.seconds:.0f} s",
    )
