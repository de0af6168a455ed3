"""Which of a checkpoint's files holds its chat template."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.files import read_json
from engine.errors import CheckpointInvalid

TEMPLATE_FILE = "chat_template.jinja"
SETTINGS_FILES = ("chat_template.json", "processor_config.json", "tokenizer_config.json")
"""Hold the template under the key `chat_template`; in the order in which transformers looks at them."""

DEFAULT_NAME = "default"
TAKE_THE_RELEASED = "take the template that came with the weights"


@dataclass(frozen=True)
class TemplateSource:
    """The jinja2 text of a chat template, and the file that it stands in."""

    text: str
    file: str


def find_template(directory: Path) -> TemplateSource:
    """The chat template of a checkpoint; CheckpointInvalid where no file holds one."""
    path = directory / TEMPLATE_FILE
    if path.exists():
        return TemplateSource(path.read_text(encoding="utf-8"), TEMPLATE_FILE)
    for name in SETTINGS_FILES:
        held = read_json(directory / name).get("chat_template") if (directory / name).exists() else None
        if held is not None:
            return TemplateSource(_chosen(held, name), name)
    raise CheckpointInvalid(
        f"{directory} has no chat template",
        f"copy {TEMPLATE_FILE} or the tokenizer_config.json that came with the weights",
    )


def _chosen(held: Any, file: str) -> str:  # noqa: ANN401 - JSON
    """The template itself, or of several, as a list of names and templates or a table, the default one."""
    if isinstance(held, str):
        return held
    if isinstance(held, Mapping):
        named = dict(held)
    else:
        try:
            named = {entry["name"]: entry["template"] for entry in held}
        except (TypeError, KeyError) as misfit:
            raise CheckpointInvalid(
                f"{file}: chat_template is neither a text nor a list of names and templates",
                TAKE_THE_RELEASED,
            ) from misfit
    only = next(iter(named.values())) if len(named) == 1 else None
    text = named.get(DEFAULT_NAME, only)
    if not isinstance(text, str):
        raise CheckpointInvalid(
            f"{file}: chat_template has {', '.join(map(repr, named)) or 'no entries'} and none is "
            f"{DEFAULT_NAME!r}",
            f"put the one to use into {TEMPLATE_FILE}",
        )
    return text
