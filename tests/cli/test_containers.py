"""What the container files promise, read from the files: a slip in YAML would otherwise show in the plant."""

import ast
import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from services.cli.places import PROJECT_ROOT, RECIPES, SOURCES_FILE
from services.gateway.sources.config import load_sources
from services.infra.intake import RecipeBook
from services.infra.process.settings import PREFIX, SETTINGS_CLASSES
from tests.repository import module_name, python_files, syntax_tree

OURS = {"gateway", "web", "worker", "result-writer"}
STORES = {"ledger", "frames", "database"}


def imported_modules(path: Path) -> set[str]:
    """What a file imports by absolute name."""
    nodes = list(ast.walk(syntax_tree(path)))
    whole = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """docker-compose.yml, its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load(
        (PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    )
    return content


def test_only_the_site_is_published_and_on_this_machine_unless_asked(compose: dict[str, Any]) -> None:
    """The stores are reached by nobody else."""
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }

    assert published == {"web": ["${LYNCEUS_LISTEN:-127.0.0.1:8000}:8000"]}
    assert compose["networks"]["stores"]["internal"] is True
    assert all(compose["services"][name]["networks"] == ["stores"] for name in STORES)


def test_every_container_is_restarted_watched_and_held_tight(compose: dict[str, Any]) -> None:
    """No capabilities, no new privileges, a read-only root, a health check and time to end."""
    assert set(compose["services"]) == OURS | STORES
    for name, service in compose["services"].items():
        assert service["restart"] == "always", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["healthcheck"]["test"], name
        assert service["stop_grace_period"], name


def test_the_ledger_answers_only_what_is_on_disk_and_never_evicts(compose: dict[str, Any]) -> None:
    """An acknowledged job survives a power cut; a full store refuses instead of forgetting."""
    command = compose["services"]["ledger"]["command"]

    assert "--appendonly yes --appendfsync always" in command
    for name in ("ledger", "frames"):
        assert "--maxmemory-policy noeviction" in compose["services"][name]["command"]


def test_every_variable_is_a_setting_of_some_process(compose: dict[str, Any]) -> None:
    """A misspelt variable would stop the container at its start."""
    known = {PREFIX + field.upper() for kind in SETTINGS_CLASSES for field in kind.model_fields}
    gpu = yaml.safe_load((PROJECT_ROOT / "compose.gpu.yml").read_text(encoding="utf-8"))
    services = [*(compose["services"][name] for name in OURS), gpu["services"]["worker"]]

    assert {name for service in services for name in service["environment"]} <= known


def test_a_model_of_ones_own_is_served(compose: dict[str, Any]) -> None:
    """Its folder below ./models is named in .env; what is compiled for a card survives a new container."""
    worker = compose["services"]["worker"]

    assert worker["environment"]["LYNCEUS_CHECKPOINT"] == "${LYNCEUS_CHECKPOINT:-models/starter}"
    assert "./models:/srv/lynceus/models:ro" in worker["volumes"]
    assert "kernels:/srv/lynceus/var/kernels" in worker["volumes"]
    assert {"kernels", "cameras"} <= compose["volumes"].keys()


def test_the_cameras_folder_may_be_one_of_the_host(compose: dict[str, Any]) -> None:
    """A path in LYNCEUS_CAMERAS is a folder of the host, and without one Docker keeps its own."""
    assert "${LYNCEUS_CAMERAS:-cameras}:/srv/lynceus/var/cameras" in compose["services"]["gateway"]["volumes"]


def test_the_example_of_settings_has_each_variable_of_the_compose_file() -> None:
    """None is forgotten, and none is there that nobody reads."""
    example = (PROJECT_ROOT / ".env.example").read_text(encoding="utf-8")
    compose = (PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == set(re.findall(r"\$\{(\w+)", compose))


def test_a_gpu_is_given_to_the_worker_alone(compose: dict[str, Any]) -> None:
    """The second file changes nothing but that."""
    gpu = yaml.safe_load((PROJECT_ROOT / "compose.gpu.yml").read_text(encoding="utf-8"))

    assert gpu["services"].keys() == {"worker"}
    assert gpu["services"]["worker"]["environment"] == {"LYNCEUS_DEVICE": "cuda"}
    (device,) = gpu["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert gpu["services"].keys() <= compose["services"].keys()


def _installed_in_the_image() -> set[str]:
    """The packages that the Dockerfile's own line lists, and all that they require."""
    text = (PROJECT_ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    (program,) = re.findall(r'RUN python -c "(import tomllib.*?)" *>dependencies', text, re.DOTALL)
    listed = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, check=True, capture_output=True, text=True
    ).stdout
    found: set[str] = set()
    waiting = [Requirement(line) for line in listed.splitlines()]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        with suppress(PackageNotFoundError):  # what torch's build for CUDA brings, which may not be here
            waiting += [Requirement(each) for each in requires(requirement.name) or ()]
    return found


def test_the_image_has_what_the_gpu_path_imports() -> None:
    """Every package that engine and worker import is in the list that the image installs."""
    installed, homes = _installed_in_the_image(), packages_distributions()
    own = {"engine", "worker", "services", "schemas"}
    for path in python_files("engine", "worker"):
        for module in imported_modules(path):
            top = module.partition(".")[0]
            if top not in sys.stdlib_module_names | own:
                assert {canonicalize_name(name) for name in homes[top]} & installed, (
                    f"{path} imports {module}"
                )
    assert {"cuda-python", "cuda-bindings", "cuda-core", "nvidia-cuda-nvrtc"} <= installed


def test_what_the_gpu_path_imports_can_be_imported() -> None:
    """In a process of its own, as a worker on a GPU would; that needs neither driver nor card."""
    modules = [module_name(path) for path in python_files("engine") if "cuda" in path.parts]
    program = "import " + ", ".join(modules)

    assert "engine.kernels.cuda.launcher" in modules
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, check=True)


def test_every_camera_of_the_sources_file_has_its_recipe() -> None:
    """The file that ships works with the recipes that ship."""
    sources = load_sources(SOURCES_FILE)
    recipes = {recipe.recipe_id for recipe in RecipeBook(RECIPES).recipes}

    assert {source.recipe_id for source in sources} == recipes


def test_what_the_image_copies_is_let_through_to_the_build() -> None:
    """.dockerignore names what goes in; a forgotten line breaks the build only where it is built anew."""
    allowed = set((PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    copied = [
        Path(word).parts[0]
        for line in (PROJECT_ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]

    assert copied
    assert {f"!{name}" for name in copied} <= allowed
