"""The wake-up: one task waits in a queue however often it is sent, and none is lost for good."""

import json

import pytest
from redis import Redis

from services.infra.local_redis import RedisServer
from services.infra.process.errors import StoreFull, StoreUnavailable
from services.infra.process.names import WORK_TASK, Queue, wake_up_key
from services.infra.stores.wake_up import WakeUp
from tests.conftest import FreshRedis


def begun(wake_up: WakeUp, server: RedisServer) -> None:
    """What a worker does: it takes the task from the queue, and its work loop begins."""
    with Redis.from_url(server.url) as client:
        client.lpop(Queue.INSPECT.value)
    wake_up.received(Queue.INSPECT)


@pytest.fixture
def wake_up(ledger_redis: RedisServer) -> WakeUp:
    """The wake-up of the ledger's server."""
    return WakeUp(ledger_redis.url)


def test_a_queue_is_woken_once_until_its_work_loop_begins(wake_up: WakeUp, ledger_redis: RedisServer) -> None:
    """The other queue is not concerned."""
    assert wake_up.send(Queue.INSPECT)
    assert not wake_up.send(Queue.INSPECT)
    assert wake_up.send(Queue.DIAGNOSE)
    begun(wake_up, ledger_redis)
    assert wake_up.send(Queue.INSPECT)


def test_a_task_that_no_worker_took_is_not_joined_by_another(ledger_redis: RedisServer) -> None:
    """While all workers are down or busy the token runs out, and still one task waits."""
    wake_up = WakeUp(ledger_redis.url)
    wake_up.send(Queue.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        for _ in range(3):
            client.delete(wake_up_key(Queue.INSPECT))
            assert not wake_up.send(Queue.INSPECT)
        assert client.llen(Queue.INSPECT.value) == 1


def test_a_wake_up_that_was_lost_is_made_good(ledger_redis: RedisServer) -> None:
    """A worker killed between taking the task and beginning stops wake-ups only until the token runs out."""
    wake_up = WakeUp(ledger_redis.url)
    wake_up.send(Queue.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        client.lpop(Queue.INSPECT.value)
        assert not wake_up.send(Queue.INSPECT)
        client.delete(wake_up_key(Queue.INSPECT))
    assert wake_up.send(Queue.INSPECT)


def test_the_wake_up_is_a_celery_task_in_the_queue_of_its_name(ledger_redis: RedisServer) -> None:
    """A worker started with `-Q inspect` gets the task `lynceus.work`, without any argument."""
    wake_up = WakeUp(ledger_redis.url)
    for _ in range(3):
        wake_up.send(Queue.INSPECT)
    with Redis.from_url(ledger_redis.url) as client:
        [message] = client.lrange(Queue.INSPECT.value, 0, -1)
        assert client.llen(Queue.DIAGNOSE.value) == 0
        assert 0 < client.pttl(wake_up_key(Queue.INSPECT)) <= 5_000
    assert json.loads(message)["headers"]["task"] == WORK_TASK


def test_a_wake_up_without_redis_is_a_typed_error(fresh_redis: FreshRedis) -> None:
    """And it is sent again once Redis is back."""
    server = fresh_redis()
    wake_up = WakeUp(server.url)
    wake_up.send(Queue.INSPECT)
    server.kill()
    with pytest.raises(StoreUnavailable):
        wake_up.send(Queue.INSPECT)
    server.start()
    begun(wake_up, server)
    assert wake_up.send(Queue.INSPECT)


def test_a_wake_up_at_a_full_redis_is_a_typed_error(fresh_redis: FreshRedis) -> None:
    """The job that was added before stays accepted; the next wake-up wakes a worker for it."""
    server = fresh_redis()
    wake_up = WakeUp(server.url)
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            wake_up.send(Queue.INSPECT)
        client.config_set("maxmemory", 0)
    assert wake_up.send(Queue.INSPECT)
