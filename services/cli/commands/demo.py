"""`lynceus demo`: the sample pictures from camera to report, on servers of its own."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import CHECKPOINT, DEMO_DIRECTORY, RECIPES, SAMPLES


def demo(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the model checkpoint.")] = CHECKPOINT,
    samples: Annotated[Path, typer.Option(help="Folder of pictures with their labels.json.")] = SAMPLES,
    recipes: Annotated[Path, typer.Option(help="Folder of recipe YAML files.")] = RECIPES,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    directory: Annotated[Path, typer.Option(help="Where logs, reports and the summary go.")] = DEMO_DIRECTORY,
    pace: Annotated[float, typer.Option(min=0.0, help="Seconds from one picture to the next.")] = 0.5,
    limit: Annotated[float, typer.Option(min=1.0, help="Seconds until the demo gives up.")] = 600.0,
) -> None:
    """Shows each sample to a camera, waits for verdict and report, sums up, and teaches a part of its own."""
    from services.cli.demo.orchestration import DemoOptions, run_demo
    from services.cli.demo.own_part import teach_cookies

    options = DemoOptions(directory, samples, recipes, checkpoint, device, pace, limit)
    try:
        summary = run_demo(options, output)
        for line in summary.in_words():
            say(output, line)
        say(output, f"Summary: {directory / 'summary.json'}; reports: {directory / 'reports'}")
        for line in teach_cookies(samples, directory, output):
            say(output, line)
    except KeyboardInterrupt:
        say(output, "Interrupted; everything that was started has been stopped.")
        raise
