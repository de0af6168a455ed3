"""Whether there is capacity is asked now and then; that there is none is never remembered."""

from contextlib import nullcontext

import pytest
from redis import Redis

from services.infra.intake.capacity import StoreCapacity
from services.infra.local_redis import RedisServer
from services.infra.process.errors import StoreFull
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from tests.conftest import FreshRedis

MARK = 0.85


def capacity(frames: RedisServer, ledger: RedisServer) -> StoreCapacity:
    """The capacity of two servers, never asked before."""
    return StoreCapacity(FrameStore(frames.url), Ledger(ledger.url), MARK, MARK)


def set_limit(server: RedisServer, times_used: float) -> None:
    """Gives the server so many times the memory that it uses."""
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * times_used))


@pytest.mark.parametrize(("full", "named"), [("frames", "frame store"), ("ledger", "ledger")])
def test_a_store_at_its_mark_is_named_until_it_has_room(
    full: str, named: str, fresh_redis: FreshRedis
) -> None:
    """Each question finds out anew that it is full, and the first one after that finds capacity."""
    servers = {"frames": fresh_redis(), "ledger": fresh_redis()}
    asked = capacity(**servers)
    set_limit(servers[full], 1.1)
    for _ in range(2):
        with pytest.raises(StoreFull, match=f"the {named} is"):
            asked.require()
    set_limit(servers[full], 10)
    asked.require()


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_room_is_believed_for_its_time_and_then_asked_again(
    seconds: float, fresh_redis: FreshRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time a store that has filled up is not noticed here; when the time is over, it is."""
    monkeypatch.setattr("services.infra.intake.capacity.CAPACITY_SECONDS", seconds)
    servers = {"frames": fresh_redis(), "ledger": fresh_redis()}
    asked = capacity(**servers)
    asked.require()
    set_limit(servers["frames"], 1.1)
    with nullcontext() if seconds else pytest.raises(StoreFull):
        asked.require()
