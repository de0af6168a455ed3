"""Imports point down: the table of docs/architecture.md, read from the source with ast."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository import PACKAGES, module_name, python_files, syntax_tree

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "schemas": ("schemas",),
    "engine": ("engine",),
    "services.infra": ("services.infra", "schemas"),
    "services.gateway": ("services.gateway", "services.infra", "schemas"),
    "services.api": ("services.api", "services.infra", "schemas"),
    "services.web": ("services.web", "services.api", "services.infra", "schemas"),
    "services.teach": ("services.teach", "services.infra", "schemas", "engine"),
    "worker": ("worker", "services.infra", "schemas", "engine"),
    "services.cli": ("services", "worker", "engine", "schemas"),
    "starter": ("starter", "worker", "services.teach", "services.infra", "engine", "schemas"),
}
"""Which of our packages each package may import. The command line may import everything but tests and bench,
and nothing of the product imports it."""

NEVER_IMPORTED = ("bench", "tests")
"""These import everything."""

ENGINE_FACES: dict[str, tuple[str, ...]] = {
    "worker": ("engine",),
    "services.teach": ("engine", "engine.tuning"),
}
"""Who sees only faces of the engine, and which."""

ENGINE_ORDER = ("format", "kernels", "quant", "checkpoint", "model", "tuning", "serving", "compression")
"""The packages inside engine, each of which may import those before it; engine's face stands above all."""

INSIDE_ENGINE: dict[str, tuple[str, ...]] = {
    f"engine.{name}": tuple(f"engine.{below}" for below in ENGINE_ORDER[: place + 1])
    for place, name in enumerate(ENGINE_ORDER)
}

OUTSIDE_ONLY_IN: dict[str, tuple[str, ...]] = {
    "torch": ("engine", "starter"),
    "celery": ("worker", "services.infra.stores.wake_up"),
    "redis": ("services.infra", "worker.app"),
    "pydantic": ("schemas", "services", "worker"),
    "pydantic_settings": ("services", "worker"),
}
"""Where a package of others may be imported at all."""

WORKER_MODULES = 20
WORKER_LEVELS = 7
"""How many modules the worker may have, and how long the longest chain of imports among them may be."""

WRITES_FOR_TORCH = "engine/process.py"
"""Tells OpenMP how to wait, which nothing but the environment can; it reads nothing."""

ENVIRONMENT_READERS = {"environ", "environb", "getenv", "putenv"}


@dataclass(frozen=True)
class Import:
    """One import statement: which module does it, in which line, and what it imports."""

    importer: str
    line: int
    imported: str

    def __str__(self) -> str:
        return f"{self.importer} line {self.line} imports {self.imported}"


def _is_under(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _is_under_any(module: str, packages: tuple[str, ...]) -> bool:
    return any(_is_under(module, package) for package in packages)


def _absolute(node: ast.ImportFrom, importer: str, *, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = importer.split(".")
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, node.module] if node.module else base)


def _submodule_or_name(module: str, name: str, known: set[str]) -> str:
    """`from engine import quant` imports engine.quant; `from engine import Engine` imports engine."""
    return f"{module}.{name}" if f"{module}.{name}" in known else module


def imports_of(path: Path, tree: ast.Module, known: set[str]) -> list[Import]:
    """Every import of one file, at the top and inside functions, with relative ones made absolute."""
    importer, found = module_name(path), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(importer, node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, importer, is_package=path.name == "__init__.py")
            names = {_submodule_or_name(module, alias.name, known) for alias in node.names}
            found += [Import(importer, node.lineno, name) for name in sorted(names)]
    return found


def all_imports() -> list[Import]:
    """Every import of the product's packages."""
    files = python_files(*PACKAGES)
    known = {module_name(path) for path in files}
    known |= {parent for name in known for parent in _parents(name)}
    return [each for path in files for each in imports_of(path, syntax_tree(path), known)]


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _owner(module: str, table: dict[str, tuple[str, ...]]) -> str | None:
    return next((package for package in table if _is_under(module, package)), None)


def breaks_the_table(each: Import) -> bool:
    """Whether an import of one of our packages is outside the table."""
    if not _is_under_any(each.imported, (*PACKAGES, *NEVER_IMPORTED)):
        return False
    owner = _owner(each.importer, MAY_IMPORT)
    if owner is None:
        return each.importer != "services"
    if owner in ENGINE_FACES and _is_under(each.imported, "engine"):
        return each.imported not in ENGINE_FACES[owner]
    return not _is_under_any(each.imported, MAY_IMPORT[owner])


def breaks_the_engine_order(each: Import) -> bool:
    """Whether an import inside engine points up."""
    owner = _owner(each.importer, INSIDE_ENGINE)
    if owner is None or _owner(each.imported, INSIDE_ENGINE) is None:
        return owner is not None and each.imported == "engine"
    return not _is_under_any(each.imported, INSIDE_ENGINE[owner])


def is_out_of_place(each: Import) -> bool:
    """Whether a package of others is imported outside the few places that may."""
    top = each.imported.split(".")[0]
    return top in OUTSIDE_ONLY_IN and not _is_under_any(each.importer, OUTSIDE_ONLY_IN[top])


def test_every_file_belongs_to_a_package_of_the_table() -> None:
    """A new package gets its row before it gets its first import."""
    modules = {module_name(path) for path in python_files(*PACKAGES)} - {"services"}
    assert [module for module in sorted(modules) if _owner(module, MAY_IMPORT) is None] == []


def test_our_packages_import_only_downwards() -> None:
    """The table of allowed imports holds everywhere, inside functions too."""
    assert [str(each) for each in all_imports() if breaks_the_table(each)] == []


def test_engine_imports_only_downwards_inside() -> None:
    """Format <- kernels <- quant <- model <- tuning <- serving <- compression <- the engine's face."""
    assert [str(each) for each in all_imports() if breaks_the_engine_order(each)] == []


def test_torch_celery_redis_and_pydantic_stay_where_they_belong() -> None:
    """Each has one home, so that the rest can be run and tested without it."""
    assert [str(each) for each in all_imports() if is_out_of_place(each)] == []


def longest_chain(imports: list[Import]) -> list[str]:
    """The longest chain of modules in which each imports the next; raises RecursionError for a circle."""
    below: dict[str, set[str]] = {}
    for each in imports:
        below.setdefault(each.importer, set()).add(each.imported)

    def chain(module: str) -> list[str]:
        return [module, *max(map(chain, below.get(module, ())), key=len, default=[])]

    return max(map(chain, below), key=len, default=[])


def test_the_worker_stays_small_and_shallow() -> None:
    """At most 20 modules, and no chain of imports among them is longer than 7."""
    inside = [each for each in all_imports() if _is_under(each.importer, "worker")]
    assert len(python_files("worker")) <= WORKER_MODULES
    chain = longest_chain([each for each in inside if _is_under(each.imported, "worker")])
    assert len(chain) <= WORKER_LEVELS, " -> ".join(chain)


def is_settings_module(path: Path) -> bool:
    """Settings live in files named settings.py or something_settings.py."""
    return path.stem == "settings" or path.stem.endswith("_settings")


def environment_reads(tree: ast.Module) -> list[int]:
    """The lines that reach for the process's environment, under whatever name os was imported."""
    lines = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT_READERS
    ]
    imported = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
        if alias.name in ENVIRONMENT_READERS
    ]
    return sorted(lines + imported)


def test_only_settings_modules_read_the_environment() -> None:
    """A setting has one place, one name and one description."""
    reads = [
        f"{path}:{line}"
        for path in python_files(*PACKAGES)
        if not is_settings_module(path) and not str(path).endswith(WRITES_FOR_TORCH)
        for line in environment_reads(syntax_tree(path))
    ]
    assert reads == []


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("schemas/job.py", "import services.infra.process.names"),
        ("engine/errors.py", "from schemas import Problem"),
        ("services/infra/stores/ledger/__init__.py", "from services.api import app"),
        ("services/infra/stores/ledger/__init__.py", "import engine"),
        ("services/api/app.py", "from services.gateway import sources"),
        ("worker/work_loop.py", "from engine.serving import scheduler"),
        ("worker/work_loop.py", "def run():\n    import services.cli"),
        ("services/cli/commands/bench.py", "from bench import host"),
        ("services/gateway/loop.py", "from ..api import app"),
    ],
)
def test_an_import_outside_the_table_is_seen(importer: str, statement: str) -> None:
    """The check itself: each of these breaks the table."""
    found = imports_of(Path(importer), ast.parse(statement), {"services.api", "services.gateway"})
    assert any(breaks_the_table(each) for each in found)
