"""The `lynceus` command: one file a command, and the processes it starts."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from services.cli.commands.alive import alive
from services.cli.commands.calibrate import calibrate
from services.cli.commands.checkpoint import checkpoint
from services.cli.commands.data import data
from services.cli.commands.demo import demo
from services.cli.commands.doctor import doctor
from services.cli.commands.evaluate import evaluate
from services.cli.commands.kernels import kernels
from services.cli.commands.quantize import quantize
from services.cli.commands.recipe import recipe
from services.cli.commands.report import report
from services.cli.commands.sign import sign
from services.cli.commands.status import status
from services.cli.commands.submit import submit
from services.cli.commands.train import train
from services.cli.commands.up import up
from services.cli.console import output, say, show_error
from services.infra.process.errors import LynceusError, SettingsInvalid
from services.infra.process.run import EXIT_CONFIGURATION

COMMANDS = (
    demo,
    up,
    submit,
    status,
    report,
    sign,
    doctor,
    alive,
    train,
    evaluate,
    calibrate,
    quantize,
    checkpoint,
)

app = typer.Typer(
    name="lynceus",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(data)
app.add_typer(kernels)
app.add_typer(recipe)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(output, f"lynceus {version('lynceus')}")
        raise typer.Exit


@app.callback()
def _lynceus(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Inspects parts on a production line: a verdict within the takt, a report for what it escalates."""


def main() -> None:
    """Runs one command. A typed error is shown in words: exit code 78 for a wrong setting, 1 for any other.

    Ctrl-C ends it with 130.
    """
    try:
        app()
    except LynceusError as error:
        show_error(error)
        sys.exit(EXIT_CONFIGURATION if isinstance(error, SettingsInvalid) else 1)
