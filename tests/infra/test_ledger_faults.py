"""The ledger when Redis is killed, full, away or emptied, and when strangers write to its streams."""

import json

import pytest
from redis import Redis

from schemas.verdict import Decision
from services.infra.local_redis import RedisServer
from services.infra.process import names
from services.infra.process.errors import FrameMissing, RecordInvalid, StoreFull, StoreUnavailable
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Committed, Duplicate, Ledger, Queue, Stage
from services.infra.stores.ledger.outbox import RECORD_KEPT_SECONDS
from tests.conftest import FreshRedis
from tests.infra.samples import DIGEST, PROBLEM, diagnosis, job, report, verdict


def fill(server: RedisServer, bytes_over: int) -> None:
    """Sets the limit so that the server is over it by so many bytes, as a neighbour's data would."""
    with Redis.from_url(server.url) as client:
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used - bytes_over)


def test_a_killed_server_loses_nothing_that_was_accepted(fresh_redis: FreshRedis) -> None:
    """SIGKILL between add and read, between read and commit, and after commit: all is as it was."""
    server = fresh_redis()
    ledger = Ledger(server.url, lease_ms=600_000)
    for number in range(20):
        ledger.jobs.add(job(f"r{number}"), DIGEST)
    server.kill()
    server.start()
    entries = ledger.jobs.read(Queue.INSPECT, "w1", 100)
    assert [entry.job.result_id for entry in entries] == [f"r{number}" for number in range(20)]
    server.kill()
    server.start()
    assert ledger.jobs.renew(entries, "w1") == entries
    for entry in entries:
        result_id = entry.job.result_id
        assert ledger.jobs.commit_verdict(entry, verdict(result_id), diagnosis(result_id)) == Committed(
            result_id
        )
    server.kill()
    server.start()
    assert ledger.jobs.add(job("r3"), DIGEST) == Duplicate("r3")
    assert ledger.jobs.waiting(Queue.INSPECT) == 0
    assert (
        len(ledger.jobs.read(Queue.DIAGNOSE, "w1", 100))
        == len(ledger.outbox.read("result-writer", 100))
        == 20
    )


def test_a_full_server_refuses_new_jobs_and_lets_the_old_ones_end(fresh_redis: FreshRedis) -> None:
    """At maxmemory `add` says StoreFull and writes nothing; what frees memory still works."""
    server = fresh_redis()
    ledger = Ledger(server.url, lease_ms=600_000)
    for number in range(3):
        ledger.jobs.add(job(f"r{number}"), DIGEST)
    fill(server, bytes_over=500_000)
    with pytest.raises(StoreFull) as caught:
        ledger.jobs.add(job("late"), DIGEST)
    assert caught.value.retry_after > 0
    assert ledger.jobs.state("late") is None
    assert ledger.used_fraction() > 0.95
    first, second, third = ledger.jobs.read(Queue.INSPECT, "w1", 10)
    ledger.jobs.commit_verdict(first, verdict("r0"), None)
    ledger.jobs.commit_verdict(second, verdict("r1"), diagnosis("r1"))
    ledger.jobs.dead_letter(third, PROBLEM, verdict("r2", Decision.NOT_INSPECTED))
    [escalated] = ledger.jobs.read(Queue.DIAGNOSE, "w1", 10)
    ledger.jobs.commit_report(escalated, report("r1"))
    results = ledger.outbox.read("result-writer", 10)
    assert [entry.result_id for entry in results] == ["r0", "r1", "r2", "r1"]
    ledger.outbox.acknowledge(results)
    stages = [state.stage for state in map(ledger.jobs.state, ("r0", "r1", "r2")) if state is not None]
    assert stages == [Stage.DECIDED, Stage.REPORTED, Stage.DEAD]


def test_a_full_frame_store_says_so_and_still_gives(fresh_redis: FreshRedis) -> None:
    """A frame that does not fit is refused whole; deleting makes room."""
    server = fresh_redis()
    frames = FrameStore(server.url)
    frames.put("kept", bytes(3_000_000))
    fill(server, bytes_over=1_000_000)
    with pytest.raises(StoreFull):
        frames.put("late", bytes(200_000))
    with pytest.raises(FrameMissing):
        frames.get("late")
    assert frames.get("kept") == bytes(3_000_000)
    frames.delete("kept")
    frames.put("late", bytes(200_000))


def test_an_absent_server_is_a_typed_error_and_its_return_is_noticed(fresh_redis: FreshRedis) -> None:
    """The same objects work again once Redis is back; the error names the address, not a password."""
    server = fresh_redis()
    ledger, frames = Ledger(server.url), FrameStore(server.url)
    ledger.jobs.add(job(), DIGEST)
    server.kill()
    for call in (
        lambda: ledger.jobs.add(job("r2"), DIGEST),
        lambda: ledger.jobs.state("result-1"),
        lambda: ledger.jobs.read(Queue.INSPECT, "w1", 1),
        lambda: ledger.events.after("0", 1, 0),
        lambda: ledger.telemetry.count("frames"),
        lambda: frames.put("r2", b"pixels"),
        frames.used_fraction,
    ):
        with pytest.raises(StoreUnavailable, match=str(server.port)) as caught:
            call()
        assert caught.value.status == 503
    server.start()
    assert len(ledger.jobs.read(Queue.INSPECT, "w1", 1)) == 1


def test_a_wrong_password_is_a_typed_error_without_the_password(fresh_redis: FreshRedis) -> None:
    """What is logged and shown holds no secret."""
    server = fresh_redis()
    with Redis.from_url(server.url) as client:
        client.config_set("requirepass", "right")
    url = server.url.replace("redis://", "redis://:secret@")
    with pytest.raises(StoreUnavailable) as caught:
        Ledger(url).jobs.waiting(Queue.INSPECT)
    assert "secret" not in caught.value.detail


def test_an_emptied_server_is_used_again(ledger_redis: RedisServer) -> None:
    """Groups and scripts are made anew; entries of before are not held any more and end quietly."""
    ledger = Ledger(ledger_redis.url)
    ledger.jobs.add(job(), DIGEST)
    entries = ledger.jobs.read(Queue.INSPECT, "w1", 1)
    with Redis.from_url(ledger_redis.url) as client:
        client.flushall()
        client.script_flush()
    assert ledger.jobs.renew(entries, "w1") == []
    ledger.jobs.release(entries)
    ledger.jobs.add(job("r2"), DIGEST)
    assert [entry.job.result_id for entry in ledger.jobs.read(Queue.INSPECT, "w1", 10)] == ["r2"]


@pytest.mark.parametrize(
    "fields", [{"result_id": "result-1", "job": '{"result_id": 5}'}, {"result_id": "result-1"}, {"x": "y"}]
)
def test_an_entry_that_nobody_can_read_is_a_dead_letter(
    ledger_redis: RedisServer, fields: dict[str, str]
) -> None:
    """It neither blocks the queue nor vanishes: the dead letter holds it, with the reason."""
    ledger = Ledger(ledger_redis.url)
    with Redis.from_url(ledger_redis.url) as client:
        client.xadd(names.queue_stream(Queue.INSPECT), fields)
    ledger.jobs.add(job("good"), DIGEST)
    assert [entry.job.result_id for entry in ledger.jobs.read(Queue.INSPECT, "w1", 10)] == ["good"]
    assert ledger.jobs.waiting(Queue.INSPECT) == 1
    [dead_letter] = ledger.jobs.dead_letters(10)
    assert json.loads(dead_letter.payload) == fields
    assert (dead_letter.problem.code, dead_letter.queue) == ("record-invalid", Queue.INSPECT)


def test_a_result_that_nobody_can_read_is_a_dead_letter(ledger_redis: RedisServer) -> None:
    """The result writer goes on with the others."""
    ledger = Ledger(ledger_redis.url)
    with Redis.from_url(ledger_redis.url) as client:
        client.xadd(names.RESULTS_STREAM, {"result_id": "r1", "stage": "decided", "verdict": "{}"})
    assert ledger.outbox.read("result-writer", 10) == []
    [dead_letter] = ledger.jobs.dead_letters(10)
    assert (dead_letter.result_id, dead_letter.queue) == ("r1", None)


def test_a_record_of_another_version_is_a_typed_error(ledger_redis: RedisServer) -> None:
    """Asking for it names the record and the hint."""
    ledger = Ledger(ledger_redis.url)
    ledger.jobs.add(job(), DIGEST)
    with Redis.from_url(ledger_redis.url) as client:
        client.hset(names.job_key("result-1"), "job", "{}")
    with pytest.raises(RecordInvalid, match="result-1"):
        ledger.jobs.state("result-1")


def test_only_finished_jobs_run_out(ledger_redis: RedisServer) -> None:
    """A stored verdict does not make the record expire while its report is still to come."""
    ledger = Ledger(ledger_redis.url)
    ledger.jobs.add(job(), DIGEST)
    with Redis.from_url(ledger_redis.url) as client:
        key = names.job_key("result-1")
        [entry] = ledger.jobs.read(Queue.INSPECT, "w1", 1)
        ledger.jobs.commit_verdict(entry, verdict(), diagnosis())
        ledger.outbox.acknowledge(ledger.outbox.read("result-writer", 10))
        assert client.ttl(key) == -1
        [entry] = ledger.jobs.read(Queue.DIAGNOSE, "w1", 1)
        ledger.jobs.commit_report(entry, report())
        ledger.outbox.acknowledge(ledger.outbox.read("result-writer", 10))
        assert 0 < client.ttl(key) <= RECORD_KEPT_SECONDS


def test_an_expired_record_is_not_brought_back(ledger_redis: RedisServer) -> None:
    """A commit that comes a day late leaves no key behind."""
    ledger = Ledger(ledger_redis.url)
    ledger.jobs.add(job(), DIGEST)
    [entry] = ledger.jobs.read(Queue.INSPECT, "w1", 1)
    with Redis.from_url(ledger_redis.url) as client:
        client.delete(names.job_key("result-1"))
        ledger.jobs.commit_verdict(entry, verdict(), None)
        assert not client.exists(names.job_key("result-1"))


def test_consumers_that_are_long_gone_are_retired(
    ledger_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that hold nothing go; one that holds a job stays, so that the job stays claimable."""
    monkeypatch.setattr("services.infra.stores.ledger.streams.CONSUMER_KEPT_MS", 0)
    ledger = Ledger(ledger_redis.url, lease_ms=600_000)
    ledger.jobs.add(job(), DIGEST)
    ledger.jobs.read(Queue.INSPECT, "holder", 1)
    ledger.jobs.read(Queue.INSPECT, "idle", 1)
    Ledger(ledger_redis.url, lease_ms=600_000).jobs.read(Queue.INSPECT, "new", 1)
    with Redis.from_url(ledger_redis.url, decode_responses=True) as client:
        known = client.xinfo_consumers(names.queue_stream(Queue.INSPECT), names.GPU_GROUP)
    assert "idle" not in {consumer["name"] for consumer in known}
    assert "holder" in {consumer["name"] for consumer in known}


def test_news_is_bounded(ledger_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events and dead letters are trimmed; the queues and the results never are."""
    for module in ("jobs", "commit", "streams"):
        monkeypatch.setattr(f"services.infra.stores.ledger.{module}.ENTRIES_KEPT", 100)
    ledger = Ledger(ledger_redis.url)
    for number in range(400):
        ledger.jobs.add(job(f"r{number}"), DIGEST)
        ledger.jobs.refuse(f"r{number}", PROBLEM, "file")
    assert len(ledger.events.after("0", 1000, 0)) < 300
    assert len(ledger.jobs.dead_letters(1000)) < 300
    assert ledger.jobs.waiting(Queue.INSPECT) == 400
