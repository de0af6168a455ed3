"""Where commands write, and how an error looks to a person."""

from rich.console import Console
from rich.markup import escape

from services.infra.process.errors import LynceusError

output = Console()
"""Standard output: what was asked for."""

messages = Console(stderr=True)
"""Standard error: what went wrong."""


def say(console: Console, text: str) -> None:
    """One line of plain text; the terminal wraps it, so that an address or a path can be copied whole."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_error(error: LynceusError) -> None:
    """What happened, every wrong value, and the hint; never a stack trace."""
    problem = error.problem()
    _print(f"[bold red]{escape(problem.title)}[/bold red] [dim]({problem.code})[/dim]")
    _print(f"  {escape(problem.detail)}")
    for wrong in problem.errors:
        place = f"{wrong.file}:{wrong.line} " if wrong.file else ""
        value = f" = {wrong.value}" if wrong.value is not None else ""
        _print(f"  {escape(place + wrong.field + value)}: {escape(wrong.detail)}")
        _print(f"    hint: {escape(wrong.hint)}")
    if problem.hint:
        _print(f"  hint: {escape(problem.hint)}")


def _print(markup: str) -> None:
    # The terminal wraps: a path that we broke could not be copied.
    messages.print(markup, highlight=False, soft_wrap=True)
