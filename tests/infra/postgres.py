"""A PostgreSQL server for the tests, where the machine has its programs."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

UNPRIVILEGED = "nobody"


def has_postgres() -> bool:
    """Whether the server's programs are on PATH."""
    return all(shutil.which(name) for name in ("initdb", "pg_ctl"))


@contextmanager
def running_postgres() -> Iterator[Path]:
    """A server on a Unix socket in a folder of its own; gives that folder."""
    folder = Path(tempfile.mkdtemp(prefix="lynceus-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    data = folder / "data"
    try:
        _run("initdb", "-D", data, "-U", "lynceus", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        _run("pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        yield folder
    finally:
        if (data / "postmaster.pid").exists():
            _run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def postgres_url(folder: Path) -> str:
    """The address of a new, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=str(folder), user="lynceus", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type,unused-ignore]
    return f"postgresql+psycopg://lynceus@/{name}?host={folder}"


def _run(*command: object) -> None:
    # The server refuses to run as root, which tests in a container often are.
    user = pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
    arguments = [str(part) for part in command]
    subprocess.run(
        arguments, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, user=user, cwd="/"
    )
