"""The connection to the results database: SQLite in WAL mode by default, PostgreSQL by its URL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.infra.process.errors import RecordInvalid, SettingsInvalid, StoreFull, StoreUnavailable
from services.infra.stores.results.migration import create_tables

BUSY_TIMEOUT_SECONDS = 10
CONNECT_TIMEOUT_SECONDS = 5

AWAY_SECONDS = 2.0
"""How long a server that did not serve is not asked again, so that callers do not wait for it one by one."""

POSTGRESQL_OPTIONS = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "options": "-c statement_timeout=10000",
    # A server that is gone without a word is noticed by the kernel, not by a person.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class Database:
    """Connects, and creates or migrates its tables, on first use.

    A server that did not serve is taken for away for AWAY_SECONDS: calls then fail at once.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = _engine(self._url)
        self._is_ready = False
        self._away_until = float("-inf")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block and undone by an error in it.

        Raises StoreUnavailable, StoreFull, RecordInvalid, DatabaseVersionMismatch.
        """
        with _typed_errors(self._url), self._noticing_absence():
            self._make_ready()
            with self._engine.begin() as connection:
                yield connection

    def close(self) -> None:
        """Give the connections back to the database."""
        self._engine.dispose()

    @contextmanager
    def _noticing_absence(self) -> Iterator[None]:
        if time.monotonic() < self._away_until:
            raise StoreUnavailable(
                f"{self._url.render_as_string()} did not serve a moment ago",
                hint="check that the database runs and is reachable",
            )
        try:
            yield
        except (InterfaceError, OperationalError, PoolTimeout):
            if not self._is_file:
                self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    @property
    def _is_file(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def _make_ready(self) -> None:
        # Without a lock, behind which all would wait for one: the database orders who creates its tables.
        if self._is_ready:
            return
        if self._is_file and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        with self._engine.begin() as connection:
            create_tables(connection)
        self._is_ready = True


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, SQLAlchemyError) as error:
        raise SettingsInvalid(
            f"LYNCEUS_DATABASE_URL names no database that can be used: {error}",
            hint="write sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database",
        ) from error
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url, pool_pre_ping=True, pool_timeout=CONNECT_TIMEOUT_SECONDS, connect_args=POSTGRESQL_OPTIONS
        )
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # The result writer forgets a result once it is stored, so a stored one must survive a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


@contextmanager
def _typed_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RecordInvalid(
            f"a row of {url.render_as_string()} cannot be read: {error}",
            hint="it was written by another version; read it with that version",
        ) from error
    except (SQLAlchemyError, OSError) as error:
        if "is full" in str(error) or "No space left" in str(error):
            raise StoreFull(f"{url.render_as_string()} is full: {error}", hint="free disk space") from error
        raise StoreUnavailable(
            f"{url.render_as_string()} does not serve: {error}",
            hint="check that the database runs and is reachable",
        ) from error
