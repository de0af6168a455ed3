"""Stores to test the same promises on: in memory, and on real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.infra.stores.frames import FrameStore, MemoryFrames, RedisFrames
from services.infra.stores.ledger import Ledger, MemoryLedger, RedisLedger
from tests.infra.postgres import has_postgres, running_postgres

NEVER_MS = 600_000
AT_ONCE_MS = 1


@pytest.fixture(params=["memory", "redis"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Runs a test once on each adapter."""
    return str(request.param)


def _ledger(kind: str, lease_ms: int, request: pytest.FixtureRequest) -> Ledger:
    if kind == "memory":
        return MemoryLedger(lease_ms)
    return RedisLedger(request.getfixturevalue("ledger_redis").url, lease_ms)


@pytest.fixture
def ledger(store_kind: str, request: pytest.FixtureRequest) -> Ledger:
    """A ledger where no consumer is ever taken for dead, however slow the machine."""
    return _ledger(store_kind, NEVER_MS, request)


@pytest.fixture
def hasty_ledger(store_kind: str, request: pytest.FixtureRequest) -> Ledger:
    """A ledger where a consumer is taken for dead after a millisecond of silence."""
    return _ledger(store_kind, AT_ONCE_MS, request)


@pytest.fixture
def frames(store_kind: str, request: pytest.FixtureRequest) -> Iterator[FrameStore]:
    """A frame store of each kind."""
    if store_kind == "memory":
        yield MemoryFrames()
    else:
        yield RedisFrames(request.getfixturevalue("frames_redis").url)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A PostgreSQL server; a test that needs it is skipped where its programs are not installed."""
    if not has_postgres():
        pytest.skip("initdb and pg_ctl of PostgreSQL are not on PATH")
    with running_postgres() as folder:
        yield folder
