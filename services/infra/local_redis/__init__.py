"""A Redis server of our own on this machine, for the demo, `lynceus up` and the tests."""

from services.infra.local_redis.server import HOST, RedisServer, RedisServerError, find_redis_server

__all__ = ["HOST", "RedisServer", "RedisServerError", "find_redis_server"]
