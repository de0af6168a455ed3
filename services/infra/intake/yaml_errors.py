"""Turns what is wrong with a YAML file into errors with file, line, field, value and hint."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from schemas.problem import FieldError
from services.infra.process.field_errors import dotted, field_error

Location: TypeAlias = tuple[int | str, ...]

_HINTS = {
    "string_type": "write text in quotes: YAML reads a bare yes, no, on, off or number as something else",
    "string_pattern_mismatch": "use letters, digits and . _ : - only, beginning with a letter or digit",
    "model_type": "indent the fields below this name, as `name: value` lines",
    "tuple_type": "write a list, one `- ` line for each item",
}


def syntax_error(path: Path, error: yaml.YAMLError) -> FieldError:
    """The error for a file that is not YAML at all."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    detail = error.problem if isinstance(error, yaml.MarkedYAMLError) and error.problem else str(error)
    is_tab = "'\\t'" in detail
    return FieldError(
        field="",
        file=str(path),
        line=mark.line + 1 if mark is not None else None,
        detail=detail,
        hint="indent with spaces, not with tabs" if is_tab else "correct the YAML at or above this line",
    )


def duplicate_keys(path: Path, node: yaml.Node, location: Location = ()) -> Iterator[FieldError]:
    """An error for each key that stands twice in one mapping; YAML itself would keep the last in silence."""
    for step, key, child in _children(node):
        if key is not None and _is_repeated(node, key):
            yield FieldError(
                field=dotted((*location, step)),
                value=_shown(child),
                file=str(path),
                line=key.start_mark.line + 1,
                detail=f"{step!r} was set above already",
                hint="keep one of the two lines",
            )
        yield from duplicate_keys(path, child, (*location, step))


def field_names(model: type[BaseModel]) -> list[str]:
    """Every field that the model and the models inside it know."""
    schema = model.model_json_schema()
    models = (schema, *schema.get("$defs", {}).values())
    return sorted({name for part in models for name in part.get("properties", {})})


def without_echoes(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """The errors less those that only echo others: a list is not too short because its items are wrong."""
    places = [error["loc"] for error in errors]

    def is_echo(error: ErrorDetails) -> bool:
        depth = len(error["loc"])
        inside = any(len(place) > depth and place[:depth] == error["loc"] for place in places)
        return error["type"] == "too_short" and inside

    return [error for error in errors if not is_echo(error)]


def schema_error(path: Path, root: yaml.Node, error: ErrorDetails, known: Sequence[str]) -> FieldError:
    """The error for one value that the model refused; `known` are the field names it might have meant."""
    location, kind = _without_tags(root, error["loc"]), error["type"]
    node, line = _find(root, location)
    value = None if kind == "missing" else _shown(node)
    wrong = field_error({**error, "loc": location}, _hint(location, kind, error, known), whole="")
    return wrong.model_copy(update={"value": value, "file": str(path), "line": line})


def value_error(path: Path, root: yaml.Node, location: Location, detail: str, hint: str) -> FieldError:
    """The error for a value that is right in itself but not beside what the file speaks of."""
    node, line = _find(root, location)
    return FieldError(
        field=dotted(location), value=_shown(node), file=str(path), line=line, detail=detail, hint=hint
    )


def _hint(location: Location, kind: str, error: ErrorDetails, known: Sequence[str]) -> str:
    name = str(location[-1]) if location else ""
    if kind == "missing":
        return f"add a line `{name}: …` here"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(name, known, n=1)
        return f"write {near[0]!r}, or remove the line" if near else "remove the line"
    if kind in {"literal_error", "enum"}:
        return f"write one of {error['ctx']['expected']}"
    return _HINTS.get(kind, error["msg"].removeprefix("Value error, "))


def _children(node: yaml.Node) -> Iterator[tuple[int | str, yaml.Node | None, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield str(key.value), key, child
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield index, None, child


def _is_repeated(mapping: yaml.Node, key: yaml.Node) -> bool:
    first = next(other for other, _ in mapping.value if other.value == key.value)
    return first is not key


def _without_tags(root: yaml.Node, location: Location) -> Location:
    """The location as the file has it: pydantic puts the tag of a union's member between index and field."""
    node: yaml.Node | None = root
    kept: list[int | str] = []
    for step in location:
        children = {name: child for name, _, child in _children(node)} if node else {}
        tags = {child.value for child in children.values() if isinstance(child, yaml.ScalarNode)}
        if step in children or step not in tags or step == location[-1]:
            kept.append(step)
            node = children.get(step)
    return tuple(kept)


def _find(root: yaml.Node, location: Location) -> tuple[yaml.Node, int]:
    """The deepest node on the way to the location, and the line a person looks at for it."""
    node, line = root, root.start_mark.line + 1
    for wanted in location:
        found = [(key, child) for step, key, child in _children(node) if step == wanted]
        if not found:
            break
        key, node = found[-1]
        line = (key or node).start_mark.line + 1
    return node, line


def _shown(node: yaml.Node) -> str | None:
    return str(node.value)[:200] if isinstance(node, yaml.ScalarNode) else None
