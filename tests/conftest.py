"""Fixtures for every test: real Redis servers, waiting on a condition, the shared images."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings
from redis import Redis

from services.infra.local_redis import RedisServer

ROOT = Path(__file__).resolve().parent.parent

BESIDE_THE_PRODUCT = (
    "tests/bench/",
    "tests/starter/",
    "tests/engine/compression/",
    "tests/cli/test_quantize.py",
    "tests/engine/kernels/test_cuda_",
    "tests/engine/kernels/test_nvrtc_",
)
"""What tests a tool beside the product, or compiles and emulates CUDA: left to `make test-all`."""

T = TypeVar("T")

# A failing example must come back when the command is repeated; a slow machine is not a defect.
settings.register_profile("lynceus", derandomize=True, deadline=None, database=None)
settings.load_profile("lynceus")


class WaitUntil(Protocol):
    """The type of the `wait_until` fixture."""

    def __call__(self, condition: Callable[[], T], seconds: float = 20.0) -> T:
        """The first true answer of `condition`; fails the test when none comes within `seconds`."""


class FreshRedis(Protocol):
    """The type of the `fresh_redis` fixture."""

    def __call__(self, *, maxmemory: str | None = None, appendonly: bool = True) -> RedisServer:
        """A started server that the test may kill, restart and fill; stopped after the test."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what stands beside the product, before `-m` chooses."""
    for item in items:
        if item.path.relative_to(ROOT).as_posix().startswith(BESIDE_THE_PRODUCT):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """Waits on a condition instead of sleeping: `wait_until(lambda: ledger.jobs.waiting(queue) == 0)`."""

    def wait(condition: Callable[[], T], seconds: float = 20.0) -> T:
        give_up = time.monotonic() + seconds
        while not (answered := condition()):
            if time.monotonic() > give_up:
                pytest.fail(
                    f"the condition did not come true within {seconds:g} s (last answer: {answered!r})"
                )
            time.sleep(0.01)
        return answered

    return wait


@pytest.fixture(scope="session")
def _ledger_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("ledger-redis")) as server:
        yield server


@pytest.fixture(scope="session")
def _frames_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("frames-redis")) as server:
        yield server


def _emptied(server: RedisServer) -> RedisServer:
    with Redis.from_url(server.url) as client:
        client.flushall()
    return server


@pytest.fixture
def ledger_redis(_ledger_server: RedisServer) -> RedisServer:
    """The ledger's Redis, empty; one server per test process. Its address is `ledger_redis.url`."""
    return _emptied(_ledger_server)


@pytest.fixture
def frames_redis(_frames_server: RedisServer) -> RedisServer:
    """The frames' Redis, empty; one server per test process. Its address is `frames_redis.url`."""
    return _emptied(_frames_server)


@pytest.fixture
def fresh_redis(tmp_path: Path) -> Iterator[FreshRedis]:
    """Starts servers of the test's own, to kill, restart and fill."""
    started: list[RedisServer] = []

    def start(*, maxmemory: str | None = None, appendonly: bool = True) -> RedisServer:
        directory = tmp_path / f"redis-{len(started)}"
        server = RedisServer(directory, maxmemory=maxmemory, appendonly=appendonly)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the repository; a test that needs it is skipped elsewhere."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real images (../shared/data) are not beside this checkout")
    return folder
