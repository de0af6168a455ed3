"""Where commands write, and how an error looks to a person."""

from rich.console import Console
from rich.markup import escape

from services.infra.errors import LynceusError

output = Console()
"""Standard output: what was asked for."""

messages = Console(stderr=True)
"""Standard error: what went wrong."""


def show_error(error: LynceusError) -> None:
    """What happened, every wrong value, and the mend; never a stack trace."""
    problem = error.problem()
    messages.print(
        f"[bold red]{escape(problem.title)}[/bold red] [dim]({problem.code})[/dim]", highlight=False
    )
    messages.print(f"  {escape(problem.detail)}", highlight=False)
    for wrong in problem.errors:
        place = f"{wrong.file}:{wrong.line} " if wrong.file else ""
        value = f" = {wrong.value}" if wrong.value is not None else ""
        messages.print(f"  {escape(place + wrong.field + value)}: {escape(wrong.detail)}", highlight=False)
        messages.print(f"    mend: {escape(wrong.mend)}", highlight=False)
    if problem.mend:
        messages.print(f"  mend: {escape(problem.mend)}", highlight=False)
