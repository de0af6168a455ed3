"""The pictures that ship with the repository, and what is known about each."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from schemas.base import Identifier, Message
from services.cli.errors import InputInvalid

LABELS_NAME = "labels.json"


class DemoSample(Message):
    """One picture: where it lies below the samples folder, and the class of its recipe that it shows."""

    file: str
    recipe_id: Identifier
    label: Identifier
    source: str
    licence: str

    @property
    def part_id(self) -> str:
        """The serial the gateway reads from the file's name."""
        return Path(self.file).stem


_LABELS = TypeAdapter(tuple[DemoSample, ...])


def load_samples(directory: Path) -> tuple[DemoSample, ...]:
    """All samples of a folder in the order of its labels file.

    Raises InputInvalid when the labels file is missing or wrong, or names a picture that is not there.
    """
    labels = directory / LABELS_NAME
    try:
        samples = _LABELS.validate_python(json.loads(labels.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputInvalid(
            f"{directory} holds no {LABELS_NAME}", hint="name a folder like samples/ with --samples"
        ) from None
    except (json.JSONDecodeError, ValidationError) as error:
        raise InputInvalid(
            f"{labels}: {error}", hint="correct the entry; samples/NOTICE says the form"
        ) from error
    for sample in samples:
        if not (directory / sample.file).is_file():
            raise InputInvalid(
                f"{labels} names {sample.file}, which is not there", hint="restore the picture"
            )
    return samples
