"""Fixtures of the API's tests: an application over real Redis and SQLite, and clients of it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from services.infra.intake import RecipeBook
from services.infra.local_redis import RedisServer
from services.infra.process.settings import ApiSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp
from tests.api.line import ROOT, Answer, Line, form
from tests.conftest import WaitUntil


class Submit(Protocol):
    """The type of the `submit` fixture."""

    def __call__(self, key: str = "key-1", *, data: bytes | None = None, **fields: str) -> Answer:
        """The answer to a multipart submission; `fields` are added to a complete one."""


@pytest.fixture
def line(ledger_redis: RedisServer, frames_redis: RedisServer, tmp_path: Path) -> Line:
    """Empty stores, the shipped recipes, and no worker."""
    settings = ApiSettings(
        ledger_url=ledger_redis.url,
        frames_url=frames_redis.url,
        database_url=f"sqlite:///{tmp_path}/lynceus.db",
        archive_dir=tmp_path / "archive",
        recipes_dir=ROOT / "recipes",
    )
    return Line(
        settings=settings,
        ledger=Ledger(settings.ledger_url),
        frames=FrameStore(settings.frames_url),
        results=ResultStore(settings.database_url),
        wake_up=WakeUp(settings.ledger_url),
        recipes=RecipeBook(settings.recipes_dir),
    )


@pytest.fixture
def client(line: Line) -> Iterator[TestClient]:
    """A client of the application in this process."""
    with TestClient(line.app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def submit(client: TestClient) -> Submit:
    """Hands in one part's image as a form."""

    def post(key: str = "key-1", *, data: bytes | None = None, **fields: str) -> Answer:
        return client.post("/v1/inspections", **form(key, data=data, **fields))

    return post


@pytest.fixture
def served(line: Line, wait_until: WaitUntil) -> Iterator[httpx.Client]:
    """A client of the application behind a real socket, for what only a stream shows."""
    server = uvicorn.Server(uvicorn.Config(line.app(), port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        yield client
    server.should_exit = True
    thread.join()
