"""Labels as a plant writes them, and the names that recipes and results can carry."""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 64


def class_name(label: str) -> str:
    """A label as an identifier: `Kratzer, tief` is `kratzer-tief`, `Größe` is `grosse`; never empty."""
    plain = unicodedata.normalize("NFKD", label.replace("ß", "ss")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._").lower()[:LONGEST]
    return name or f"class-{label.encode().hex()[:8]}"


def class_names(labels: Iterable[str]) -> dict[str, str]:
    """The name of each label; labels that would share one get a number behind it."""
    names: dict[str, str] = {}
    for label in sorted(set(labels)):
        name, taken, number = class_name(label), set(names.values()), 2
        while name in taken:
            name = f"{class_name(label)}-{number}"
            number += 1
        names[label] = name
    return names


def wording(label: str) -> str:
    """A label as words for the prompt: no commas, no underscores, at most 80 letters."""
    words = re.sub(r"[\s_,]+", " ", label).strip()
    return words[:80] or "unnamed"
