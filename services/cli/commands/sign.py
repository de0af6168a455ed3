"""`lynceus sign ID --name NAME`: a person's name under a report."""

from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.places import API_URL


def sign(
    result_id: Annotated[
        str, typer.Argument(help="The id that `lynceus submit` or the overview page shows.")
    ],
    name: Annotated[str, typer.Option(help="Who signs, as it is to stand on the page.")],
    remark: Annotated[str | None, typer.Option(help="What the person adds to the report.")] = None,
    api: Annotated[str, typer.Option(help="Address of the API.")] = API_URL,
) -> None:
    """Signs the report on a part; a signed report does not change any more."""
    from services.cli.client import ApiClient

    with ApiClient(api) as client:
        report = client.sign(result_id, name, remark)
    say(output, f"The report on part {report.part.part_id} is signed by {name.strip()}.")
