"""Reads a message from a YAML file that a person wrote; a wrong file is refused, every wrong field named."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from schemas.base import Message
from schemas.problem import FieldError
from services.infra.intake import yaml_errors
from services.infra.process.errors import LynceusError

M = TypeVar("M", bound=Message)

MOST_VALUES = 10_000
"""Far more than any recipe or sources file has; anchors that name anchors reach it in a few lines."""


@dataclass(frozen=True, slots=True)
class YamlFault:
    """What is wrong with one value beyond its form: a file that it names is not there, say."""

    location: yaml_errors.Location
    detail: str
    hint: str


def _faultless(_message: Message) -> Iterable[YamlFault]:
    return ()


def read_message(
    path: Path,
    model: type[M],
    kind: type[LynceusError],
    faults_of: Callable[[M], Iterable[YamlFault]] = _faultless,
) -> M:
    """The file as a message. Raises `kind` with file, line, field, value and hint of every wrong field.

    `faults_of` looks at a message that is right in its form, for what only its surroundings tell.
    """
    try:
        return _read(path, model, kind, faults_of)
    except RecursionError as error:
        wrong = file_error(
            path,
            "is nested too deeply, or refers to itself",
            "write it flat, without anchors that name themselves",
        )
        raise invalid(kind, [wrong]) from error


def _read(
    path: Path, model: type[M], kind: type[LynceusError], faults_of: Callable[[M], Iterable[YamlFault]]
) -> M:
    root, data = _parse(path, _text(path, kind), kind)
    errors = list(yaml_errors.duplicate_keys(path, root))
    try:
        message = model.model_validate(data)
        errors += [
            yaml_errors.value_error(path, root, fault.location, fault.detail, fault.hint)
            for fault in faults_of(message)
        ]
    except ValidationError as error:
        known = yaml_errors.field_names(model)
        causes = yaml_errors.without_echoes(error.errors())
        errors += [yaml_errors.schema_error(path, root, item, known) for item in causes]
    if errors:
        raise invalid(kind, sorted(errors, key=lambda item: item.line or 0))
    return message


def file_error(path: Path, detail: str, hint: str) -> FieldError:
    """An error about the whole file."""
    return FieldError(field="", file=str(path), detail=detail, hint=hint)


def invalid(kind: type[LynceusError], errors: Sequence[FieldError]) -> LynceusError:
    """The error to raise for a file, with all that is wrong in one line each."""
    return kind(
        f"{len(errors)} thing(s) wrong: " + "; ".join(_line(error) for error in errors),
        hint="correct the file at the lines named; nothing of it was loaded",
        errors=errors,
    )


def _text(path: Path, kind: type[LynceusError]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        wrong = file_error(path, f"cannot be read: {error}", "make it a readable UTF-8 file")
        raise invalid(kind, [wrong]) from error


def _parse(path: Path, text: str, kind: type[LynceusError]) -> tuple[yaml.Node, Any]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            hint = "write one `name: value` line for each field"
            raise invalid(kind, [file_error(path, "is not a list of `name: value` lines", hint)])
        if (values := _written_out(root, {})) > MOST_VALUES:
            hint = "write each value once instead of by anchors that multiply"
            raise invalid(kind, [file_error(path, f"holds {values} values, at most {MOST_VALUES}", hint)])
        return root, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise invalid(kind, [yaml_errors.syntax_error(path, error)]) from error
    except ValueError as error:
        hint = "put dates and numbers that are names in quotes"
        raise invalid(kind, [file_error(path, str(error), hint)]) from error


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for once its anchors are written out; each node is counted once."""
    if id(node) not in known:
        children = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else ()
        flat = chain.from_iterable(children) if isinstance(node, yaml.MappingNode) else children
        known[id(node)] = 1 + sum(_written_out(child, known) for child in flat)
    return known[id(node)]


def _line(error: FieldError) -> str:
    place = error.file if error.line is None else f"{error.file}:{error.line}"
    field = f" {error.field}" if error.field else ""
    return f"{place}{field}: {error.detail}"
