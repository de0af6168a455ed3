"""What the documents say is so: files exist, settings are listed, nothing of one machine got in."""

import importlib
import itertools
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tests.repository import PACKAGES, ROOT, module_name, python_files, tracked_files
from tests.test_imports import is_settings_module

ARCHITECTURE = ROOT / "docs" / "architecture.md"
SETTINGS = ROOT / "docs" / "settings.md"
MOST_STEPS = 12

FILE_NAME = re.compile(r"`([\w./-]+\.(?:py|lua|md|yaml|yml|toml|html|css|js|cpp|cu|txt)|[\w.-]+/[\w./-]*)`")
"""A path in backticks: with an ending we use, or with a slash."""

MACHINE_PATH = re.compile(r"(?<![\w.$-])/(?:work|root|home)(?:/|\b)")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
REGISTRY = re.compile(r"\b(?:files\.python" + r"hosted|py" + r"pi\.org|registry\.npm)")

OLD_WORDS = re.compile(
    r"\b(?:men" + r"ds?|door" + r"bell|cl" + r"erk|bu" + r"ry|bu" + r"rial|hand" + r"_back)\b", re.IGNORECASE
)
"""Names that the field's own replaced: hint, wake-up, result writer, dead-letter, requeue."""


def steps() -> dict[int, str]:
    """The numbered steps of the life of one frame, by number."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text.split("## The life of one frame", 1)[1].split("\n## ", 1)[0]
    pieces = re.split(r"^(\d+)\. ", section, flags=re.MULTILINE)[1:]
    return {int(number): body for number, body in zip(pieces[::2], pieces[1::2], strict=True)}


def named_files(text: str) -> list[str]:
    """Every file or folder named in backticks."""
    return FILE_NAME.findall(text)


def test_every_file_the_architecture_names_exists() -> None:
    """The map shows only what is there."""
    named = named_files(ARCHITECTURE.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_step_of_a_frame_names_its_files() -> None:
    """At most twelve steps, numbered without a gap, each with a place to look."""
    numbered = steps()
    assert list(numbered) == list(range(1, len(numbered) + 1))
    assert 1 <= len(numbered) <= MOST_STEPS
    assert [number for number, body in numbered.items() if not named_files(body)] == []


def folders() -> set[str]:
    """Every folder of the repository with files of its own or below, but those that hold data alone."""
    parents = {parent for path in tracked_files() for parent in path.parents} - {Path()}
    return {
        f"{folder}/" for folder in parents if not folder.is_relative_to("tests") and folder.parts[0][0] != "."
    }


def test_the_tree_has_one_line_for_each_folder() -> None:
    """A new folder says what is in it; data below `models` and `samples` needs none of its own."""
    shown = re.findall(r"^\| `([\w/]+/)` \| \S", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    data = {folder for folder in folders() if re.match(r"(models|samples)/.|docs/(plots|images)/", folder)}
    wanted = (folders() - data) | {"tests/"}
    assert {"without a line": wanted - set(shown), "gone": set(shown) - wanted} == {
        "without a line": set(),
        "gone": set(),
    }
    assert len(shown) == len(set(shown))


def settings_variables() -> set[str]:
    """The environment variable of every setting of every process."""
    variables = set()
    for path in filter(is_settings_module, python_files(*PACKAGES)):
        module = importlib.import_module(module_name(path))
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseSettings) and value is not BaseSettings:
                prefix = value.model_config.get("env_prefix", "")
                variables |= {f"{prefix}{field}".upper() for field in value.model_fields}
    return variables


def test_the_settings_page_lists_exactly_the_settings() -> None:
    """A setting without its line, or a line without its setting, is found."""
    listed = re.findall(r"^\| `([A-Z][A-Z0-9_]+)`", SETTINGS.read_text(encoding="utf-8"), re.MULTILINE)
    assert settings_variables() == set(listed)


def test_every_broad_except_is_named_where_contributors_look() -> None:
    """CONTRIBUTING.md lists the files that hold `except Exception`, and no other."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = page.split("- `except Exception` stands", 1)[1].split("`tests/test_docs.py`", 1)[0]
    holding = [
        str(path)
        for path in python_files(*PACKAGES)
        if re.search(r"except Exception\b", (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert sorted(named_files(named)) == holding


@cache
def text_files() -> list[tuple[Path, str]]:
    """Every tracked file that is UTF-8 text."""
    found = []
    for path in tracked_files():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            found.append((path, data.decode("utf-8", errors="replace")))
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(MACHINE_PATH, id="paths of one machine"),
        pytest.param(UNFINISHED, id="unfinished work"),
        pytest.param(REGISTRY, id="package registries"),
        pytest.param(OLD_WORDS, id="words that the field's own replaced"),
    ],
)
def test_no_tracked_file_holds(pattern: re.Pattern[str]) -> None:
    """Paths of one machine, notes of unfinished work and names of package registries stay out."""
    found = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def requirement_name(requirement: str) -> str:
    """`psycopg[binary]>=3.3` is psycopg; case and underscores do not tell packages apart (PEP 503)."""
    return re.split(r"[\[<>=~ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared_dependencies() -> set[str]:
    """Every package of others that pyproject.toml asks for, extras and the build's own included."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, build = content["project"], content["build-system"]["requires"]
    listed = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values(), build)]
    return {requirement_name(each) for each in listed} - {project["name"]}


def test_every_dependency_says_why_it_is_here() -> None:
    """docs/dependencies.md has each package of pyproject.toml, and none that is gone."""
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+?) \| \S", page, re.MULTILINE)
    named = {requirement_name(each) for cell in cells for each in cell.split(", ")} - {"package"}
    assert named == declared_dependencies()


def test_every_dependency_of_product_and_tests_is_pinned() -> None:
    """An installation next year gets what was tested; torch has its own file, as its builds are by device."""
    pins = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    unpinned = declared_dependencies() - {requirement_name(pin) for pin in pins}
    assert unpinned == {"torch"}
