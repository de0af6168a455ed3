"""Fixtures of the gateway's tests."""

from pathlib import Path

import pytest

from services.infra.local_redis import RedisServer
from tests.gateway.plant import Plant, make_plant


@pytest.fixture
def plant(ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path) -> Plant:
    """A gateway over empty, running stores."""
    return make_plant(ledger_redis.url, frames_redis.url, tmp_path)
