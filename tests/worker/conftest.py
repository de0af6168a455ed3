"""A plant on real Redis servers, with an engine whose answers are painted into the frames."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.infra.intake import RecipeBook
from services.infra.local_redis import RedisServer
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.wake_up import WakeUp
from tests.worker.fake_engine import FakeEngine
from tests.worker.plant import Plant, write_recipe


@pytest.fixture
def plant(ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path) -> Iterator[Plant]:
    """Stores, one recipe, and an engine; the engine is closed after the test."""
    engine = FakeEngine()
    yield Plant(
        ledger=Ledger(ledger_redis.url),
        frames=FrameStore(frames_redis.url),
        recipes=RecipeBook(write_recipe(tmp_path / "recipes")),
        engine=engine,
        wake_up=WakeUp(ledger_redis.url),
    )
    engine.close(drain=False)
