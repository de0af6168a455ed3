"""What must be right before Lynceus can work on a machine; each check says its hint."""

import importlib.metadata
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.infra.process.errors import LynceusError

OLDEST_PYTHON = (3, 11)
TORCH_VERSION = "2.13.0"
LITTLE_DISK_GB = 5.0
TOO_LITTLE_DISK_GB = 1.0
VERSION_SECONDS = 10.0


class CheckLevel(StrEnum):
    """How a check ended; only FAIL stops work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    level: CheckLevel
    found: str
    hint: str = ""


def run_checks(
    directory: Path, recipes_dir: Path, checkpoint: Path, device: str, port: int
) -> Iterator[Check]:
    """Every check, one by one as it finishes; `directory` is where the processes will write."""
    yield check_python()
    yield check_torch()
    yield check_device(device)
    yield check_redis()
    yield check_disk(directory)
    yield check_checkpoint(checkpoint)
    yield check_recipes(recipes_dir)
    yield check_port(port)


def check_python() -> Check:
    """The interpreter is new enough."""
    level = CheckLevel.OK if sys.version_info >= OLDEST_PYTHON else CheckLevel.FAIL
    return Check("Python", level, platform.python_version(), "install Python 3.11 or newer")


def check_torch() -> Check:
    """The version of torch that everything was measured with is installed."""
    install = f"pip install torch=={TORCH_VERSION}"
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("torch", CheckLevel.FAIL, "not installed", install)
    level = CheckLevel.OK if version.split("+")[0] == TORCH_VERSION else CheckLevel.WARN
    return Check("torch", level, version, install)


def check_redis() -> Check:
    """A server binary is there and starts."""
    from services.infra.local_redis import RedisServerError, find_redis_server

    try:
        binary = find_redis_server()
    except RedisServerError as error:
        return Check("Redis", CheckLevel.FAIL, str(error), error.hint)
    answered = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=False, timeout=VERSION_SECONDS
    )
    level = CheckLevel.OK if answered.returncode == 0 else CheckLevel.FAIL
    words = answered.stdout.split(" sha=")[0].strip() or f"exit code {answered.returncode}"
    return Check(
        "Redis", level, f"{binary}: {words}", "install redis-server, or set REDIS_SERVER to another binary"
    )


def check_disk(directory: Path) -> Check:
    """There is space for frames, archives and append-only files where the processes write."""
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    level = (
        CheckLevel.FAIL
        if free_gb < TOO_LITTLE_DISK_GB
        else CheckLevel.WARN
        if free_gb < LITTLE_DISK_GB
        else CheckLevel.OK
    )
    return Check("disk", level, f"{free_gb:.1f} GB free at {existing}", f"free {LITTLE_DISK_GB:.0f} GB there")


def check_port(port: int) -> Check:
    """The API's port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return Check(
                "port",
                CheckLevel.WARN,
                f"{port}: {error.strerror}",
                "`lynceus status` shows whether it is ours; else --port",
            )
    return Check("port", CheckLevel.OK, f"{port} is free")


def check_recipes(recipes_dir: Path) -> Check:
    """Every recipe can be read."""
    from services.infra.intake import RecipeBook

    try:
        names = sorted(recipe.recipe_id for recipe in RecipeBook(recipes_dir).recipes)
    except LynceusError as error:
        wrong = "; ".join(f"{e.file}:{e.line} {e.field}: {e.detail}" for e in error.errors) or error.detail
        return Check("recipes", CheckLevel.FAIL, wrong, error.hint or "correct the recipe")
    return Check("recipes", CheckLevel.OK, f"{', '.join(names)} in {recipes_dir}")


def check_device(device: str) -> Check:
    """The device that the worker will use is there."""

    def look() -> str:
        from engine import resolve_device

        return str(resolve_device(device))

    return _of_engine("device", look)


def check_checkpoint(checkpoint: Path) -> Check:
    """The model's files are there and their headers can be read; weights are checked when they are loaded."""

    def look() -> str:
        from engine.checkpoint.config import ModelConfig
        from engine.checkpoint.files import read_json
        from engine.checkpoint.tensors import StoredTensors
        from engine.checkpoint.tokenizer import Tokenizer

        ModelConfig.from_json(read_json(checkpoint / "config.json"))
        Tokenizer(checkpoint)
        tensors = len(StoredTensors(checkpoint).names)
        size_mb = sum(path.stat().st_size for path in checkpoint.glob("*.safetensors")) / 1e6
        return f"{checkpoint}: {tensors} tensors, {size_mb:.0f} MB"

    return _of_engine("checkpoint", look)


def _of_engine(name: str, look: Callable[[], str]) -> Check:
    from engine import EngineError

    try:
        return Check(name, CheckLevel.OK, look())
    except EngineError as error:
        return Check(name, CheckLevel.FAIL, error.detail, error.hint)
