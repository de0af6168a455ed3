"""How quantizing looks to a person: a bar with the time left, and in the end what came out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from engine.compression import REPORT, CompressionProgress, OnProgress, Totals
from services.cli.console import say


@contextmanager
def shown(console: Console) -> Iterator[OnProgress]:
    """A progress bar, or lines where there is no terminal, and what is to be told how far things are."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, speed_estimate_period=600) as bar:
        task = bar.add_task("", total=None)
        begun = ""

        def on_progress(step: CompressionProgress) -> None:
            nonlocal begun
            bar.update(task, description=step.doing, completed=step.done, total=step.total)
            # A log file, which shows no bar, gets a line for each thing begun.
            if step.doing != begun and not console.is_terminal:
                say(console, f"{100 * step.done // max(step.total, 1):3} % done: {step.doing}")
            begun = step.doing

        yield on_progress


def summary(totals: Totals, target: Path) -> Iterator[str]:
    """Sizes and errors, in words."""
    size = totals.weights * totals.bits_per_weight / 8
    mean = f"{totals.bits_per_weight:.3f} bits each"
    yield f"{target}: {totals.weights:,} weights in {size / 1e6:,.1f} MB, {mean}."
    yield (
        f"Routed experts: {totals.routed_weights:,} weights, {totals.bits_per_routed_weight:.3f} bits each; "
        f"mean squared error {totals.weight_error:.2%} of the weights"
        + ("." if totals.output_error is None else f", {totals.output_error:.2%} of the outputs.")
    )
    yield f"Every tensor: {target / REPORT}"
