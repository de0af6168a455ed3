"""Which Redis binary to run, where a process starts its own server."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings


class RedisServerSettings(BaseSettings):
    """Read from the environment without our prefix: `REDIS_SERVER` is the name other Redis tools use."""

    redis_server: Path | None = Field(
        default=None, description="The redis-server or valkey-server binary to run; searched for when unset."
    )
