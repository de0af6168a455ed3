"""Settings: read from the environment, refused with the variable and the hint, documented word for word."""

import json
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from services.infra.process.errors import SettingsInvalid
from services.infra.process.names import Queue
from services.infra.process.settings import (
    PREFIX,
    SETTINGS_CLASSES,
    ApiSettings,
    CommonSettings,
    WorkerSettings,
    load_settings,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def shown(field: FieldInfo) -> str:
    """A default as the settings page writes it."""
    if isinstance(field.default, tuple):
        return json.dumps([item.value for item in field.default])
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


@pytest.mark.parametrize("kind", SETTINGS_CLASSES, ids=lambda kind: kind.__name__)
def test_the_page_tells_default_and_meaning(kind: type[CommonSettings]) -> None:
    """Each setting's line on the page has the default and the description that the code has."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for name, field in kind.model_fields.items():
        assert f"| `{PREFIX}{name.upper()}` | `{shown(field)}` | {field.description} |" in lines


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable overrides a default; lists are JSON."""
    monkeypatch.setenv("LYNCEUS_QUEUES", '["diagnose"]')
    monkeypatch.setenv("LYNCEUS_BATCH_SIZE", "16")
    settings = load_settings(WorkerSettings)
    assert settings.queues == (Queue.DIAGNOSE,)
    assert settings.batch_size == 16


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wrong values and a misspelled name make one error with three entries."""
    monkeypatch.setenv("LYNCEUS_PORT", "many")
    monkeypatch.setenv("LYNCEUS_LEDGER_URL", "http://elsewhere")
    monkeypatch.setenv("LYNCEUS_LEGDER_URL", "redis://127.0.0.1:6379/0")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(ApiSettings)
    assert {error.field for error in caught.value.errors} == {
        "LYNCEUS_PORT",
        "LYNCEUS_LEDGER_URL",
        "LYNCEUS_LEGDER_URL",
    }
    assert all(error.hint for error in caught.value.errors)


def test_a_list_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list written with commas is refused with the way to write it."""
    monkeypatch.setenv("LYNCEUS_QUEUES", "inspect,diagnose")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(WorkerSettings)
    [error] = caught.value.errors
    assert error.field == "LYNCEUS_QUEUES"
    assert "JSON" in error.hint


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value in the error lacks what stands before the @ of a URL."""
    monkeypatch.setenv("LYNCEUS_LEDGER_URL", "http://user:secret@redis:6379")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(ApiSettings)
    assert "secret" not in str(caught.value.errors)
