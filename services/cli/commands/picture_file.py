"""Reads a picture to hand in, and follows it to its end."""

import time
from pathlib import Path

from services.api.representations import Inspection
from services.cli.client import ApiClient
from services.cli.errors import Incomplete, InputInvalid

POLL_SECONDS = 0.2


def read_image(path: Path) -> bytes:
    """The file's bytes; whether they are an image the API judges. Raises InputInvalid."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputInvalid(f"{path}: {error.strerror}", hint="name a readable image file") from error


def wait_for_end(client: ApiClient, result_id: str, limit_seconds: float) -> Inspection:
    """The inspection when nothing more will happen to it. Raises Incomplete at the limit."""
    give_up = time.monotonic() + limit_seconds
    while True:
        inspection = client.inspection(result_id)
        if inspection.stage.is_final:
            return inspection
        if time.monotonic() > give_up:
            raise Incomplete(
                f"{result_id} is still {inspection.stage.value} after {limit_seconds:g} s",
                hint="see `lynceus status`, or wait longer with --limit",
            )
        time.sleep(POLL_SECONDS)
