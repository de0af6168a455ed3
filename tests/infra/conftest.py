"""The stores on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.infra.local_redis import RedisServer
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from tests.infra.postgres import has_postgres, running_postgres

NEVER_MS = 600_000
AT_ONCE_MS = 1


@pytest.fixture
def ledger(ledger_redis: RedisServer) -> Ledger:
    """A ledger where no consumer is ever taken for dead, however slow the machine."""
    return Ledger(ledger_redis.url, NEVER_MS)


@pytest.fixture
def hasty_ledger(ledger_redis: RedisServer) -> Ledger:
    """A ledger where a consumer is taken for dead after a millisecond of silence."""
    return Ledger(ledger_redis.url, AT_ONCE_MS)


@pytest.fixture
def frames(frames_redis: RedisServer) -> FrameStore:
    """The frame store, empty."""
    return FrameStore(frames_redis.url)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A PostgreSQL server; a test that needs it is skipped where its programs are not installed."""
    if not has_postgres():
        pytest.skip("initdb and pg_ctl of PostgreSQL are not on PATH")
    with running_postgres() as folder:
        yield folder
