"""Who holds a lease: a lost process is followed at once, one that lives is not, whatever its connections."""

from collections.abc import Iterator

import pytest
from redis import Redis

from services.infra.local_redis import RedisServer
from services.infra.process.errors import StoreUnavailable
from services.infra.process.names import SERVER_HASH, Queue, presence_key
from services.infra.stores.ledger import Ledger, Presence
from tests.conftest import FreshRedis, WaitUntil
from tests.infra.samples import DIGEST, job

LEASE_MS = 3_600_000


@pytest.fixture
def client(ledger_redis: RedisServer) -> Iterator[Redis]:
    """A look behind the ledger."""
    with Redis.from_url(ledger_redis.url) as client:
        yield client


def is_listening(name: str, server: RedisServer) -> bool:
    """Whether the process's connection stands."""
    with Redis.from_url(server.url) as client:
        return bool(client.pubsub_numsub(presence_key(name))[0][1])


def held_by(name: str, server: RedisServer, wait_until: WaitUntil) -> tuple[Ledger, Presence]:
    """A ledger whose one job is held by a consumer that shows that it lives."""
    ledger, presence = Ledger(server.url, LEASE_MS), Presence(server.url, name)
    ledger.jobs.add(job("r0"), DIGEST)
    presence.show()
    wait_until(lambda: is_listening(name, server))
    assert len(ledger.jobs.read(Queue.INSPECT, name, 1)) == 1
    return ledger, presence


def fall_silent(client: Redis, name: str) -> None:
    """What two seconds without a sign make of a presence."""
    client.set(presence_key(name), 0)


def close_connection(client: Redis) -> None:
    """What the kernel does when a process ends, and what a broken link may do."""
    client.client_kill_filter(_type="pubsub")


def test_a_lost_process_is_followed_at_once(
    ledger_redis: RedisServer, client: Redis, wait_until: WaitUntil
) -> None:
    """Its connection is closed and it is silent: its work is handed on, and the delivery counts."""
    ledger, _ = held_by("w1", ledger_redis, wait_until)
    close_connection(client)
    fall_silent(client, "w1")
    (entry,) = ledger.jobs.read(Queue.INSPECT, "w2", 1)
    assert entry.deliveries == 2


def test_a_process_that_is_silent_but_connected_keeps_its_lease(
    ledger_redis: RedisServer, client: Redis, wait_until: WaitUntil
) -> None:
    """It may be busy; whether it still works, its lease says."""
    ledger, _ = held_by("w1", ledger_redis, wait_until)
    fall_silent(client, "w1")
    assert ledger.jobs.read(Queue.INSPECT, "w2", 1) == []


def test_a_process_whose_connection_was_cut_keeps_its_lease(
    ledger_redis: RedisServer, client: Redis, wait_until: WaitUntil
) -> None:
    """It shows itself again and listens anew."""
    ledger, presence = held_by("w1", ledger_redis, wait_until)
    close_connection(client)
    assert ledger.jobs.read(Queue.INSPECT, "w2", 1) == []
    presence.show()
    wait_until(lambda: is_listening("w1", ledger_redis))
    fall_silent(client, "w1")
    assert ledger.jobs.read(Queue.INSPECT, "w2", 1) == []


def test_a_restart_of_the_server_loses_nobody(fresh_redis: FreshRedis, wait_until: WaitUntil) -> None:
    """Until all had time to come back, one who looks first takes nothing from the others; then it does."""
    server = fresh_redis()
    ledger, presence = held_by("w1", server, wait_until)
    server.kill()
    with pytest.raises(StoreUnavailable):
        presence.show()
    server.start()
    with Redis.from_url(server.url) as client:
        fall_silent(client, "w1")
        impatient = Ledger(server.url, lease_ms=1)
        assert impatient.jobs.read(Queue.INSPECT, "w2", 1) == []
        Presence(server.url, "w2").show()
        assert ledger.jobs.read(Queue.INSPECT, "w2", 1) == []
        client.hset(SERVER_HASH, "since", 0)
        (entry,) = ledger.jobs.read(Queue.INSPECT, "w2", 1)
    assert entry.deliveries == 2


def test_one_who_withdraws_is_not_lost(
    ledger_redis: RedisServer, client: Redis, wait_until: WaitUntil
) -> None:
    """It gave back what it held before; nothing is remembered of it."""
    ledger, presence = held_by("w1", ledger_redis, wait_until)
    presence.withdraw()
    assert client.exists(presence_key("w1")) == 0
    assert ledger.jobs.read(Queue.INSPECT, "w2", 1) == []
