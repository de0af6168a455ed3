"""`lynceus status`: what waits, who works, how long it takes."""

from typing import Annotated

import typer

from services.cli.console import output
from services.cli.places import API_URL


def status(
    api: Annotated[str, typer.Option(help="Address of the API.")] = API_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")] = False,
) -> None:
    """Shows queues, processes, latencies and cameras of a running Lynceus."""
    from services.cli.client import ApiClient
    from services.cli.rendering import print_status

    with ApiClient(api) as client:
        answered = client.status()
    if as_json:
        output.print_json(answered.model_dump_json())
    else:
        print_status(output, answered)
