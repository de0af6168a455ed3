"""A database that does not serve costs its callers one wait, not one each."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.infra.process.errors import StoreUnavailable
from services.infra.stores.results import ResultStore
from services.infra.stores.results.database import POSTGRESQL_OPTIONS

CALLERS = 16


class Swallower:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self.taken: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        """As PostgreSQL is named."""
        return f"postgresql+psycopg://someone@127.0.0.1:{self._listening.getsockname()[1]}/results"

    def close(self) -> None:
        """Ends the thread and every connection."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listening, *self.taken):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                self.taken.append(self._listening.accept()[0])
            except OSError:
                return


@pytest.fixture
def swallower() -> Iterator[Swallower]:
    """A server that swallows connections."""
    server = Swallower()
    yield server
    server.close()


def test_a_database_that_swallows_connections_is_asked_once(
    swallower: Swallower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is known to be away, sixteen callers are refused without a connection of their own."""
    monkeypatch.setitem(POSTGRESQL_OPTIONS, "connect_timeout", 2)
    monkeypatch.setattr("services.infra.stores.results.database.AWAY_SECONDS", 3600.0)
    store = ResultStore(swallower.url)
    with pytest.raises(StoreUnavailable):
        store.get("result-1")
    asked = len(swallower.taken)
    assert asked > 0
    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(store.get, "result-1") for _ in range(CALLERS)]
    assert all("a moment ago" in str(call.exception()) for call in calls)
    assert len(swallower.taken) == asked
    store.close()


def test_a_database_that_is_back_is_asked_again(
    swallower: Swallower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was away is forgotten after a moment."""
    monkeypatch.setitem(POSTGRESQL_OPTIONS, "connect_timeout", 2)
    monkeypatch.setattr("services.infra.stores.results.database.AWAY_SECONDS", 0.0)
    store = ResultStore(swallower.url)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="does not serve"):
            store.get("result-1")
    assert len(swallower.taken) >= 2
    store.close()
