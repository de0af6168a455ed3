"""Reads the JSON files of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from engine.errors import CheckpointInvalid

COPY_AGAIN = "copy the checkpoint again, whole"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the checkpoint; CheckpointInvalid if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise CheckpointInvalid(f"{path} is missing", COPY_AGAIN) from missing
    except (json.JSONDecodeError, UnicodeDecodeError) as damage:
        raise CheckpointInvalid(f"{path} is not JSON: {damage}", COPY_AGAIN) from damage
    if not isinstance(content, dict):
        raise CheckpointInvalid(f"{path} does not hold a JSON object", COPY_AGAIN)
    return content
