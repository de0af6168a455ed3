"""`lynceus train`: the starter model, from pictures on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output


def train(
    pictures: Annotated[Path, typer.Argument(help="The folder that holds mcbt, deeppcb and bsdata.")],
    checkpoint: Annotated[
        Path, typer.Argument(help="Where the checkpoint goes; a run that was stopped resumes from it.")
    ],
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to train in all.")] = 80.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; all cores by default.")
    ] = None,
) -> None:
    """Trains the starter model and shows losses and validation as it goes."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from starter.train import Plan
    from starter.train import train as run

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output) as bar:
        task = bar.add_task("training", total=1.0)

        def tell(figures: dict[str, float]) -> None:
            bar.update(task, completed=figures.get("progress", bar.tasks[0].completed))
            output.print("  ".join(f"{name} {value:.3f}" for name, value in figures.items()), highlight=False)

        run(pictures, checkpoint, Plan(minutes=minutes, threads=threads), tell)
        bar.update(task, completed=1.0)
