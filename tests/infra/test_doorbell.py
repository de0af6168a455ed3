"""The doorbell: one task waits in a lane's queue however often it is rung, and none is lost for good."""

import json

import pytest
from redis import Redis

from services.infra.doorbell import Bell, Doorbell, MemoryDoorbell
from services.infra.errors import StoreFull, StoreUnavailable
from services.infra.names import SHIFT_TASK, Lane, doorbell_key
from services.infra.redis_server import RedisServer
from tests.conftest import FreshRedis


def begun(bell: Bell, server: RedisServer) -> None:
    """What a worker does: it takes the task from the queue, and its shift answers the bell."""
    with Redis.from_url(server.url) as client:
        client.lpop(Lane.INSPECT.value)
    bell.answer(Lane.INSPECT)


@pytest.fixture
def bell(store_kind: str, ledger_redis: RedisServer) -> Bell:
    """A bell of each kind."""
    return MemoryDoorbell() if store_kind == "memory" else Doorbell(ledger_redis.url)


def test_a_lane_is_rung_once_until_it_is_answered(bell: Bell, ledger_redis: RedisServer) -> None:
    """The other lane is not concerned."""
    assert bell.ring(Lane.INSPECT)
    assert not bell.ring(Lane.INSPECT)
    assert bell.ring(Lane.DIAGNOSE)
    begun(bell, ledger_redis)
    assert bell.ring(Lane.INSPECT)


def test_a_task_that_no_worker_took_is_not_joined_by_another(ledger_redis: RedisServer) -> None:
    """While all workers are down or busy the token runs out, and still one task waits."""
    bell = Doorbell(ledger_redis.url)
    bell.ring(Lane.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        for _ in range(3):
            client.delete(doorbell_key(Lane.INSPECT))
            assert not bell.ring(Lane.INSPECT)
        assert client.llen(Lane.INSPECT.value) == 1


def test_a_ring_that_was_lost_is_made_good(ledger_redis: RedisServer) -> None:
    """A worker killed between taking the task and answering stops the bell only until the token runs out."""
    bell = Doorbell(ledger_redis.url)
    bell.ring(Lane.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        client.lpop(Lane.INSPECT.value)
        assert not bell.ring(Lane.INSPECT)
        client.delete(doorbell_key(Lane.INSPECT))
    assert bell.ring(Lane.INSPECT)


def test_the_ring_is_a_celery_task_in_the_lane_of_its_name(ledger_redis: RedisServer) -> None:
    """A worker started with `-Q inspect` gets the task `lynceus.shift`, without any argument."""
    bell = Doorbell(ledger_redis.url)
    for _ in range(3):
        bell.ring(Lane.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        [message] = client.lrange(Lane.INSPECT.value, 0, -1)
        assert client.llen(Lane.DIAGNOSE.value) == 0
        assert 0 < client.pttl(doorbell_key(Lane.INSPECT)) <= 5_000
    assert json.loads(message)["headers"]["task"] == SHIFT_TASK


def test_a_bell_without_redis_is_a_typed_error(fresh_redis: FreshRedis) -> None:
    """And it rings again once Redis is back."""
    server = fresh_redis()
    bell = Doorbell(server.url)
    bell.ring(Lane.INSPECT)
    server.kill()
    with pytest.raises(StoreUnavailable):
        bell.ring(Lane.INSPECT)
    server.start()
    begun(bell, server)
    assert bell.ring(Lane.INSPECT)


def test_a_bell_at_a_full_redis_is_a_typed_error(fresh_redis: FreshRedis) -> None:
    """The job that was added before stays accepted; the next ring with room wakes a worker for it."""
    server = fresh_redis()
    bell = Doorbell(server.url)
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            bell.ring(Lane.INSPECT)
        client.config_set("maxmemory", 0)
    assert bell.ring(Lane.INSPECT)
