"""One whole Lynceus on this machine and below one folder: two Redis servers and the four processes."""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.local.processes import ManagedProcess, Supervisor
from services.cli.local.settings import child_environment
from services.cli.places import PROJECT_ROOT
from services.infra.local_redis import RedisServer

ADDRESS = "127.0.0.1"
LEDGER_MAXMEMORY = "256mb"
FRAMES_MAXMEMORY = "1gb"


class RedisService:
    """A Redis server of our own, as the supervisor sees it."""

    def __init__(self, name: str, server: RedisServer) -> None:
        self._name = name
        self._server = server

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self._server.log_path

    @property
    def is_running(self) -> bool:
        """Whether the server's process lives."""
        return self._server.is_running

    def start(self) -> None:
        """Starts the server, on the same port as before when it ran already; returns when it answers."""
        self._server.start()

    def stop(self) -> None:
        """Ends the server; what it acknowledged is on disk when it is append-only."""
        self._server.stop()


@dataclass(frozen=True)
class StackOptions:
    """What differs between a demo and a plant's own use."""

    directory: Path
    """Everything the processes write lies below it."""
    recipes_dir: Path
    checkpoint: Path
    sources_file: Path
    device: str
    port: int
    """Of the API."""


class LocalStack:
    """Starts its processes under a supervisor, which ends them; holds no process itself."""

    def __init__(self, options: StackOptions) -> None:
        self._options = options
        directory = options.directory
        self._logs = directory / "logs"
        self._ledger = RedisServer(directory / "ledger", maxmemory=LEDGER_MAXMEMORY, appendonly=True)
        # Append-only too: a restarted frame store still holds the pixels of every part that waits.
        self._frames = RedisServer(directory / "frames", maxmemory=FRAMES_MAXMEMORY, appendonly=True)

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://{ADDRESS}:{self._options.port}"

    @property
    def ports(self) -> Mapping[str, int]:
        """The TCP port of each server, once the stores have been started."""
        return {"web": self._options.port, "ledger": self._ledger.port, "frames": self._frames.port}

    def start_stores(self, supervisor: Supervisor) -> None:
        """Starts both Redis servers and returns when they answer."""
        supervisor.start(RedisService("ledger", self._ledger))
        supervisor.start(RedisService("frames", self._frames))

    def start_services(self, supervisor: Supervisor) -> None:
        """Starts worker, result writer and REST with its pages; they become ready by themselves."""
        supervisor.start(self._process("worker", "worker"))
        supervisor.start(self._process("result-writer", "worker", "result-writer"))
        self.start_api(supervisor)

    def start_api(self, supervisor: Supervisor) -> None:
        """Starts the REST service and its pages alone."""
        supervisor.start(self._process("web", "services.web"))

    def start_gateway(self, supervisor: Supervisor) -> None:
        """Starts the cameras; a frame's deadline runs from here, so the worker should be ready."""
        supervisor.start(self._process("gateway", "services.gateway"))

    def _process(self, name: str, module: str, *arguments: str) -> ManagedProcess:
        return ManagedProcess(
            name,
            command=(sys.executable, "-m", module, *arguments),
            environment=child_environment(self._settings()),
            log_path=self._logs / f"{name}.log",
            directory=PROJECT_ROOT,
        )

    def _settings(self) -> Mapping[str, object]:
        options, directory = self._options, self._options.directory
        return {
            "ledger_url": self._ledger.url,
            "frames_url": self._frames.url,
            "database_url": f"sqlite:///{directory / 'lynceus.db'}",
            "recipes_dir": options.recipes_dir,
            "archive_dir": directory / "archive",
            "spool_dir": directory / "spool",
            "sources_file": options.sources_file,
            "checkpoint": options.checkpoint,
            "device": options.device,
            "host": ADDRESS,
            "port": options.port,
        }


def free_port() -> int:
    """A TCP port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
