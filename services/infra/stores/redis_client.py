"""How every adapter talks to Redis: connections that notice a dead server, and typed errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, RedisError
from redis.retry import Retry

from services.infra.process.errors import StoreFull, StoreUnavailable

CONNECT_TIMEOUT_SECONDS = 2.0
ANSWER_TIMEOUT_SECONDS = 5.0
HEALTH_CHECK_SECONDS = 15
RETRIES = 2

RedisClient: TypeAlias = Any
"""redis-py's own annotations say `bytes | str | None` to everything, whether answers are decoded or not."""


def connect(url: str, *, as_text: bool, answer_timeout: float = ANSWER_TIMEOUT_SECONDS) -> RedisClient:
    """A client that connects on first use; `as_text` decodes answers to str.

    A call fails after at most three tries of `answer_timeout` seconds. Trying again is safe: our scripts
    may run twice, and what is no script at worst doubles a counter or a refused file's dead letter.
    """
    return Redis.from_url(
        url,
        decode_responses=as_text,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=answer_timeout,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), RETRIES),
    )


def script_text(name: str) -> str:
    """The Lua script of this name, shipped inside the package."""
    return (resources.files("services.infra.stores.ledger") / "lua" / f"{name}.lua").read_text(
        encoding="utf-8"
    )


@contextmanager
def typed_errors(url: str) -> Iterator[None]:
    """Turns every Redis error inside into StoreFull (at maxmemory) or StoreUnavailable."""
    try:
        yield
    except RedisError as error:
        raise _typed(error, url) from error


def used_memory_fraction(client: RedisClient) -> float:
    """Used memory over maxmemory, 0 when the server has no limit."""
    memory = client.info("memory")
    limit = int(memory["maxmemory"])
    return int(memory["used_memory"]) / limit if limit else 0.0


def _typed(error: RedisError, url: str) -> StoreFull | StoreUnavailable:
    server = _without_password(url)
    # Redis 6.2 wraps the code of an error inside a script in its own text.
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):
        return StoreFull(
            f"Redis at {server} is at maxmemory", hint="let workers drain it, or raise its maxmemory"
        )
    return StoreUnavailable(
        f"Redis at {server} does not serve: {error}", hint="check that Redis runs and is reachable"
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}{parts.path}"
