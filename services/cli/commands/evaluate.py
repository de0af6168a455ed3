"""`lynceus evaluate`: how well a checkpoint names what it was not trained on."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output


def evaluate(
    pictures: Annotated[Path, typer.Argument(help="The folder that holds mcbt, deeppcb and bsdata.")],
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint to measure.")] = Path("models/starter"),
    reports: Annotated[int, typer.Option(min=1, help="Reports to have written per source.")] = 40,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print figures and confusion counts as JSON.")
    ] = False,
) -> None:
    """Measures class and report accuracy on held-out pictures, by source."""
    from rich.table import Table

    from schemas import Diagnosis
    from starter.evaluate import evaluate as measure

    with output.status("Classifying held-out pictures and having reports written ..."):
        figures = measure(checkpoint, pictures, Diagnosis.model_json_schema(), reports)
    if as_json:
        output.print_json(data={name: asdict(figure) for name, figure in figures.items()})
        return
    table = Table(
        "source", "pictures", "balanced", "escapes", "overkill", "reports", "whole", "right", "temp."
    )
    for name, figure in figures.items():
        classes, written = figure.classes, figure.reports
        table.add_row(
            name,
            str(classes.pictures),
            *(f"{share:.1%}" for share in (classes.balanced_accuracy, classes.escapes, classes.overkill)),
            str(written.reports),
            *(f"{share:.1%}" for share in (written.parsed, written.right_defect)),
            f"{figure.temperature:.2f}",
        )
    output.print(table)
