"""Whatever happens in between, a part ends once."""

from schemas import Decision
from services.infra.local_redis import RedisServer
from services.infra.process.names import Queue
from services.infra.stores.ledger import Ledger
from tests.fundamentals.conftest import Line


def test_the_same_request_twice_is_one_inspection(line: Line) -> None:
    """A camera that repeats itself after a broken connection changes nothing."""
    first, second = line.submit("surface/SF-003.png"), line.submit("surface/SF-003.png")

    assert first == second
    assert line.ledger.jobs.waiting(Queue.INSPECT) == 1


def test_another_worker_takes_over_what_a_dead_one_left(line: Line, ledger_redis: RedisServer) -> None:
    """Read but never committed: after the lease the part goes to the next worker that looks."""
    result_id = line.submit("surface/SF-002.png")
    assert len(line.ledger.jobs.read(Queue.INSPECT, "worker-that-dies", 8)) == 1
    line.ledger = Ledger(ledger_redis.url, lease_ms=0)

    line.work()

    verdict = line.state(result_id).verdict
    assert verdict is not None
    assert verdict.decision is Decision.REJECT


def test_the_result_writer_files_each_result_once_and_puts_its_pixels_away(line: Line) -> None:
    """A rejected part's picture is archived; of the accepted ones the last stays for the page of the line."""
    bad, good = line.submit("surface/SF-002.png"), line.submit("surface/SF-003.png")
    line.work()

    line.file()
    line.file()

    filed = line.results.get(bad)
    assert filed.verdict.decision is Decision.REJECT
    assert filed.report is not None
    assert line.archive.path(filed.verdict).exists()
    assert not line.archive.path(line.results.get(good).verdict).exists()
    assert list(line.frames.ids()) == [good]
