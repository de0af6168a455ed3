"""The fixtures every other test leans on."""

import pytest
from redis import Redis

from services.infra.local_redis.server import RedisServer
from tests.conftest import WaitUntil


def test_wait_until_hands_back_the_first_true_answer(wait_until: WaitUntil) -> None:
    """It asks again until the answer is true, and returns that answer."""
    answers = iter([0, None, "", "ready", "late"])
    assert wait_until(lambda: next(answers)) == "ready"


def test_wait_until_fails_the_test_when_nothing_comes(wait_until: WaitUntil) -> None:
    """The failure shows the last answer."""
    with pytest.raises(pytest.fail.Exception, match="last answer: 0"):
        wait_until(lambda: 0, seconds=0.05)


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_its_servers_empty(
    turn: int, ledger_redis: RedisServer, frames_redis: RedisServer
) -> None:
    """What one test wrote is gone for the next, and the two servers are two."""
    assert ledger_redis.url != frames_redis.url
    for server in (ledger_redis, frames_redis):
        with Redis.from_url(server.url) as client:
            assert client.dbsize() == 0
            client.set("turn", turn)
