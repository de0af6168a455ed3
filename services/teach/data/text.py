"""Label files as text and JSON; what cannot be read becomes a finding with its line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.teach.data.pictures import Finding, Level


@dataclass(frozen=True, slots=True)
class Parsed:
    """A JSON file: its text, its content, and what was wrong with it."""

    text: str
    content: Any
    findings: tuple[Finding, ...] = ()


def read_text(path: Path) -> tuple[str, list[Finding]]:
    """The text, any byte order mark taken off; bytes that are not UTF-8 are read as Latin-1 and named."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        hint = "save the file as UTF-8"
        return data.decode("latin-1"), [
            Finding(Level.WARNING, "label-not-utf-8", "is not UTF-8; read as Latin-1", hint, path)
        ]


def read_json(path: Path) -> Parsed:
    """The content of a JSON file, an empty object where it does not parse."""
    text, findings = read_text(path)
    try:
        return Parsed(text, json.loads(text), tuple(findings))
    except json.JSONDecodeError as error:
        wrong = Finding(
            Level.ERROR,
            "label-unreadable",
            f"is not JSON: {error.msg}",
            "export it again",
            path,
            error.lineno,
        )
        return Parsed(text, {}, (*findings, wrong))
