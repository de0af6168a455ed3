"""What the container files promise, read from the files: a slip in YAML would otherwise show in the plant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.places import PROJECT_ROOT, RECIPES, SOURCES_FILE
from services.gateway.sources.config import load_sources
from services.infra.intake.recipes import RecipeBook
from services.infra.process.settings import PREFIX, SETTINGS_CLASSES

OURS = {"gateway", "web", "worker", "result-writer"}
STORES = {"ledger", "frames", "database"}


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
