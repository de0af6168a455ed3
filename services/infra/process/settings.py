"""The settings of each process, read from LYNCEUS_ variables; docs/settings.md lists them all."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from schemas.problem import FieldError
from services.infra.process.errors import SettingsInvalid
from services.infra.process.field_errors import field_error
from services.infra.process.names import Queue

PREFIX = "LYNCEUS_"

Kind = TypeVar("Kind", bound="CommonSettings")


class CommonSettings(BaseSettings):
    """What every process needs: where the stores are, and how to log."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    ledger_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^(rediss?|unix)://",
        description="Redis that holds jobs, verdicts and the Celery queues; appendonly, noeviction.",
    )
    frames_url: str = Field(
        default="redis://127.0.0.1:6380/0",
        pattern=r"^(rediss?|unix)://",
        description="Redis that holds encoded images until the result is stored; noeviction.",
    )
    database_url: str = Field(
        default="sqlite:///var/lynceus.db",
        description="SQLAlchemy URL of the results database: sqlite:///… or postgresql+psycopg://….",
    )
    recipes_dir: Path = Field(default=Path("recipes"), description="Folder of recipe YAML files.")
    archive_dir: Path = Field(
        default=Path("var/archive"), description="Folder for archived images and rendered reports."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log level that is written."
    )
    log_json: bool = Field(default=True, description="One JSON object per log line; false writes plain text.")


class GatewaySettings(CommonSettings):
    """The gateway: where frames come from, and when it stops taking more."""

    spool_dir: Path = Field(
        default=Path("var/spool"), description="Folder where frames wait while Redis is away or full."
    )
    spool_max_bytes: int = Field(
        default=2_000_000_000, ge=1, description="Bytes the spool may hold before frames are refused."
    )
    sources_file: Path = Field(
        default=Path("sources.yaml"), description="YAML list of cameras, folders and video files."
    )
    frames_high_water: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Fraction of the frames Redis's memory at which frames spool.",
    )
    ledger_high_water: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Fraction of the ledger Redis's memory at which frames spool.",
    )


class WorkerSettings(CommonSettings):
    """The GPU worker: which model, on what, and how many at a time."""

    checkpoint: Path = Field(default=Path("models/starter"), description="Folder of the model checkpoint.")
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N."
    )
    batch_size: int = Field(default=8, ge=1, le=256, description="Most jobs read and scored together.")
    reports_at_once: int = Field(
        default=8, ge=1, le=256, description="Most reports written at the same time, beside the verdicts."
    )
    longest_step_seconds: float = Field(
        default=300.0,
        gt=0.0,
        description="Seconds after which a step of the engine is taken for hung, and the worker ends.",
    )
    max_deliveries: int = Field(
        default=3, ge=1, le=100, description="Deliveries without a commit after which a job is dead."
    )
    lease_ms: int = Field(
        default=30_000, ge=100, description="Milliseconds without a heartbeat before a job is taken over."
    )
    queues: tuple[Queue, ...] = Field(
        default=(Queue.INSPECT, Queue.DIAGNOSE),
        min_length=1,
        description='Queues served, as JSON: ["inspect", "diagnose"].',
    )


class ResultWriterSettings(CommonSettings):
    """The result writer: how many results it moves at a time, and how long another may hold them."""

    results_batch: int = Field(
        default=64, ge=1, le=1024, description="Results moved to the database at a time."
    )
    lease_ms: int = Field(
        default=30_000,
        ge=100,
        description="Milliseconds after which another result writer's unstored result is taken over.",
    )


class ApiSettings(CommonSettings):
    """The REST service."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    max_upload_bytes: int = Field(
        default=20_000_000, ge=1, description="Largest request body; a larger one gets 413."
    )
    frames_high_water: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Fraction of the frames Redis's memory at which uploads get 503.",
    )
    ledger_high_water: float = Field(
        default=0.85,
        gt=0.0,
        le=1.0,
        description="Fraction of the ledger Redis's memory at which uploads get 503.",
    )


SETTINGS_CLASSES: tuple[type[CommonSettings], ...] = (
    CommonSettings,
    GatewaySettings,
    WorkerSettings,
    ResultWriterSettings,
    ApiSettings,
)
"""In the order docs/settings.md lists them."""


def load_settings(kind: type[Kind]) -> Kind:
    """Read the settings of one process kind from the environment.

    Raises SettingsInvalid naming every wrong value, and every LYNCEUS_ variable that no process knows.
    """
    errors = [_unknown(variable) for variable in _unknown_variables()]
    try:
        settings = kind()
    except ValidationError as error:
        errors += [_wrong(kind, item) for item in error.errors()]
    except SettingsError as error:
        errors += [
            _wrong(kind, {"type": "json_invalid", "loc": (name,), "msg": str(error.__cause__)})
            for name in kind.model_fields
            if f'"{name}"' in str(error)
        ]
    if errors:
        raise SettingsInvalid(
            f"{len(errors)} setting(s) are wrong: {', '.join(e.field for e in errors)}",
            hint="correct or remove the variables; docs/settings.md lists them",
            errors=errors,
        )
    return settings


def _unknown_variables() -> list[str]:
    known = {PREFIX + name.upper() for kind in SETTINGS_CLASSES for name in kind.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _unknown(variable: str) -> FieldError:
    return FieldError(
        field=variable,
        value=_shown(variable),
        detail="no process has this setting",
        hint="correct the spelling or remove the variable",
    )


def _wrong(kind: type[CommonSettings], item: Mapping[str, Any]) -> FieldError:
    name = str(item["loc"][0])
    variable = PREFIX + name.upper()
    known = {**item, "loc": (variable,), "input": _shown(variable)}
    return field_error(known, str(kind.model_fields[name].description), whole=variable)


def _shown(variable: str) -> str | None:
    """The value for an error message, without the password of a URL."""
    value = os.environ.get(variable)
    return None if value is None else re.sub(r"//[^@/]*@", "//…@", value)
