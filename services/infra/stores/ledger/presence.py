"""How a process that holds leases shows that it lives, so that its leases end when it does."""

from services.infra.process import names
from services.infra.stores.redis_client import connect, script_text, typed_errors

KEPT_MS = 86_400_000
"""How long it is remembered that the process has lived; its leases have run out long before."""

STALE_MS = 2_000
"""A process that has not shown itself for this long, and whose connection is closed, is lost."""

RETURN_MS = 5_000
"""How long processes have to show themselves again after a restart of the server."""


class Presence:
    """Shows one process under its name as consumer; used by one thread.

    A connection that only listens is closed by the kernel when the process ends, however it ends. A moment on
    the server's clock beside it tells a closed connection that is opened again from one that is not.
    """

    def __init__(self, url: str, consumer: str) -> None:
        self._url = url
        self._key = names.presence_key(consumer)
        self._redis = connect(url, as_text=True)
        self._script = self._redis.register_script(script_text("present"))
        self._listening = self._redis.pubsub()

    def show(self) -> None:
        """Says that the process lives; to be called about once a second. Raises StoreUnavailable."""
        with typed_errors(self._url):
            if not self._script([self._key, names.SERVER_HASH], [KEPT_MS]):
                self._listening.close()
                self._listening.subscribe(self._key)

    def withdraw(self) -> None:
        """Says that the process ends and holds nothing any more. Raises StoreUnavailable."""
        with typed_errors(self._url):
            self._redis.delete(self._key)
            self._listening.close()
