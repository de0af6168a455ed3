"""Where commands write, and how an error looks to a person."""

from rich.console import Console
from rich.markup import escape

from services.infra.process.errors import LynceusError, in_words

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
    # The terminal wraps: a path that we broke could not be copied.
    title = f"[bold red]{escape(problem.title)}[/bold red] [dim]({problem.code})[/dim]"
    messages.print(title, highlight=False, soft_wrap=True)
    for line in in_words(problem):
        say(messages, line)
