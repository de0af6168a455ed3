"""A progress bar with the time left on standard error, so that what was asked for can be piped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from services.cli.console import messages


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that goes when it is done; the callback takes how many are done, and of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield progress


@contextmanager
def advancing(console: Console = messages) -> Iterator[Callable[[float, str], None]]:
    """A bar over a whole command; the callback takes the share that is done and what is being done."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("beginning", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=what)
