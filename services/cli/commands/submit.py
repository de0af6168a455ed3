"""`lynceus submit IMAGE`: hand one picture in, and wait for what becomes of it."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import output, say
from services.cli.errors import InputInvalid
from services.cli.places import API_URL


def submit(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG, BMP, TIFF or WebP file.")],
    recipe: Annotated[str, typer.Option(help="Recipe to inspect by.")],
    part: Annotated[
        str | None, typer.Option(help="Serial of the part; the file's name when left out.")
    ] = None,
    lot: Annotated[str | None, typer.Option(help="Lot of the part.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdict and, if escalated, the report.")
    ] = False,
    limit: Annotated[float, typer.Option(min=0.1, help="Seconds to wait at most.")] = 120.0,
    api: Annotated[str, typer.Option(help="Address of the API.")] = API_URL,
) -> None:
    """Hands one image in for inspection and prints its result id."""
    from services.cli.client import ApiClient
    from services.cli.rendering import print_inspection

    data = _read(image)
    fields = {"recipe_id": recipe, "part_id": part or image.stem} | ({"lot_id": lot} if lot else {})
    with ApiClient(api) as client:
        accepted = client.submit(data, image.name, fields)
        say(output, accepted.result_id)
        if wait:
            with output.status("Waiting for the verdict and the report"):
                inspection = client.wait_for_end(accepted.result_id, limit)
            print_inspection(output, inspection)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}", hint="name a readable image file") from error
