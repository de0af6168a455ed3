"""The Celery app: settings that keep a worker alive, and wake-ups that never pile up."""

from redis import Redis

from services.infra.local_redis import RedisServer
from services.infra.process.names import Queue, wake_up_key
from services.infra.stores.wake_up import WakeUp
from worker.app import create_app


def test_a_worker_waits_for_its_broker_for_ever_and_reads_only_json() -> None:
    """Otherwise a restart of Redis was measured to end or deafen workers, and a message could carry code."""
    conf = create_app("redis://127.0.0.1:1/0").conf
    assert conf.worker_pool == "solo"
    assert conf.worker_enable_remote_control is False
    assert conf.worker_prefetch_multiplier == 2
    assert conf.broker_connection_max_retries is None
    assert conf.broker_connection_retry_on_startup is True
    assert conf.task_ignore_result is True
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"
    assert conf.broker_transport_options["health_check_interval"] == 15


def test_wake_ups_do_not_pile_up_while_a_worker_is_busy(ledger_redis: RedisServer) -> None:
    """A work loop may outlast the token many times over; one task in the queue is enough."""
    wake_up = WakeUp(ledger_redis.url)
    with Redis.from_url(ledger_redis.url) as redis:
        assert wake_up.send(Queue.INSPECT)
        for _ in range(3):
            redis.delete(wake_up_key(Queue.INSPECT))  # the token has run out
            assert not wake_up.send(Queue.INSPECT)
        assert redis.llen(Queue.INSPECT.value) == 1
