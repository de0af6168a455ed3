"""The ledger's connections to Redis and its Lua scripts; every error is typed."""

from typing import Any

from services.infra.stores.redis_client import connect, script_text, typed_errors, used_memory_fraction

MAX_BLOCK_MS = 10_000
"""The longest wait for an event."""

SCRIPTS = ("add", "read", "renew", "requeue", "finish", "discard", "acknowledge", "retire")


class LedgerConnection:
    """One server's connections, shared by the four parts of the ledger. Connects on first use."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = connect(url, as_text=True)
        # Waiting for an event takes longer than an answer may, so the feed has its own connections.
        self.blocking = connect(url, as_text=True, answer_timeout=MAX_BLOCK_MS / 1000 + 5)
        self.scripts = {name: self.redis.register_script(script_text(name)) for name in SCRIPTS}

    def run(self, script: str, keys: list[str], arguments: list[str | int]) -> Any:  # noqa: ANN401
        """One step of the ledger. Raises StoreFull or StoreUnavailable."""
        with typed_errors(self.url):
            return self.scripts[script](keys, arguments)

    def used_fraction(self) -> float:
        """How full the server's memory is, 0 to 1; 0 when it has no limit. Raises StoreUnavailable."""
        with typed_errors(self.url):
            return used_memory_fraction(self.redis)
