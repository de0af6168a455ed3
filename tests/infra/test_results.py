"""The results database's promises, kept alike in SQLite and in PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from schemas.report import ReportState
from schemas.verdict import Decision
from services.infra.process.errors import (
    AlreadySigned,
    BadRequest,
    DatabaseVersionMismatch,
    NotFound,
    RecordInvalid,
    SettingsInvalid,
    StoreUnavailable,
)
from services.infra.stores.results import ResultFilters, ResultStore, Signature
from tests.infra.postgres import postgres_url
from tests.infra.samples import MOMENT, PROBLEM, part, report, verdict

SIGNATURE = Signature(signed_by="ada", signed_at=MOMENT, remark="seen")


@pytest.fixture(params=["sqlite", "postgresql"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    """An empty store of each kind."""
    url = f"sqlite:///{tmp_path}/new/results.db"
    if request.param == "postgresql":
        url = postgres_url(request.getfixturevalue("postgres_server"))
    store = ResultStore(url)
    yield store
    store.close()


def test_what_is_saved_comes_back(results: ResultStore) -> None:
    """Verdict and report are the messages that went in; the report comes later."""
    results.save_verdicts([verdict()])
    assert results.get("result-1").verdict == verdict()
    with pytest.raises(NotFound, match="no report"):
        results.report("result-1")
    results.save_report(report())
    assert results.report("result-1") == results.get("result-1").report == report()


def test_saving_again_changes_nothing(results: ResultStore) -> None:
    """The first verdict and the first report stand."""
    results.save_verdicts([verdict()])
    results.save_verdicts([verdict(decision=Decision.ACCEPT)])
    results.save_report(report())
    results.save_report(report().model_copy(update={"reasoning": "another"}))
    assert results.get("result-1").verdict == verdict()
    assert results.report("result-1") == report()


def test_a_batch_keeps_what_is_new_and_leaves_the_rest(results: ResultStore) -> None:
    """Of a batch that is saved again in part, each row is there once and as it was saved first."""
    results.save_verdicts([])
    results.save_verdicts([verdict("r2")])
    results.save_verdicts([verdict("r3"), verdict("r2", Decision.ACCEPT), verdict("r1"), verdict("r3")])
    found = {row.verdict.result_id: row.verdict for row in results.page(ResultFilters(), None, 10).results}
    assert found == {name: verdict(name) for name in ("r1", "r2", "r3")}


def test_a_report_waits_for_its_verdict(results: ResultStore) -> None:
    """A report or problem without a row is an error, so that the result writer brings it again."""
    with pytest.raises(NotFound):
        results.save_report(report())
    with pytest.raises(NotFound):
        results.save_problem("result-1", PROBLEM)
    with pytest.raises(NotFound):
        results.get("result-1")


def test_why_a_report_was_given_up_is_kept(results: ResultStore) -> None:
    """The problem stands beside the verdict."""
    results.save_verdicts([verdict()])
    results.save_problem("result-1", PROBLEM)
    assert results.get("result-1").problem == PROBLEM


def test_pages_cover_all_results_once_newest_first(results: ResultStore) -> None:
    """Equal times are ordered by id, and what arrives in between shifts nothing."""
    for number in range(7):
        results.save_verdicts([verdict(f"r{number}", moment=MOMENT + timedelta(seconds=number // 2))])
    seen, cursor = [], None
    while True:
        page = results.page(ResultFilters(), cursor, 3)
        seen += [row.verdict.result_id for row in page.results]
        results.save_verdicts([verdict(f"new{len(seen)}", moment=MOMENT + timedelta(hours=1))])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (ResultFilters(), {"a", "b", "c"}),
        (ResultFilters(station="station-2"), {"b"}),
        (ResultFilters(recipe="surface"), {"a", "b", "c"}),
        (ResultFilters(recipe="other"), set()),
        (ResultFilters(part_id="part-3"), {"c"}),
        (ResultFilters(lot_id="lot-1"), {"a", "b"}),
        (ResultFilters(decision=Decision.ACCEPT), {"b"}),
        (ResultFilters(defect_class="scratch"), {"a", "c"}),
        (ResultFilters(since=MOMENT + timedelta(seconds=1)), {"b", "c"}),
        (ResultFilters(until=MOMENT + timedelta(seconds=1)), {"a"}),
        (ResultFilters(lot_id="lot-1", decision=Decision.REJECT), {"a"}),
    ],
)
def test_a_page_is_narrowed_by_its_filters(
    results: ResultStore, filters: ResultFilters, expected: set[str]
) -> None:
    """Each filter alone, and two together; `since` is included, `until` is not."""
    results.save_verdicts([verdict("a")])
    second, third = MOMENT + timedelta(seconds=1), MOMENT + timedelta(seconds=2)
    results.save_verdicts([verdict("b", Decision.ACCEPT, of=part(station_id="station-2"), moment=second)])
    results.save_verdicts([verdict("c", of=part("part-3", lot_id=None), moment=third)])
    assert {row.verdict.result_id for row in results.page(filters, None, 10).results} == expected


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "w6Q", "2026"])
def test_a_made_up_cursor_is_refused(results: ResultStore, cursor: str) -> None:
    """It is the caller's mistake."""
    with pytest.raises(BadRequest, match="cursor"):
        results.page(ResultFilters(), cursor, 10)


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_limit_out_of_range_is_refused(results: ResultStore, limit: int) -> None:
    """Nobody reads the whole database in one page."""
    with pytest.raises(BadRequest, match="limit"):
        results.page(ResultFilters(), None, limit)


def test_a_report_is_signed_once(results: ResultStore) -> None:
    """The same person with the same remark again changes nothing, another one is refused."""
    results.save_verdicts([verdict()])
    with pytest.raises(NotFound):
        results.sign("result-1", SIGNATURE)
    results.save_report(report())
    assert results.sign("result-1", SIGNATURE).state is ReportState.SIGNED
    assert results.sign("result-1", SIGNATURE).state is ReportState.SIGNED
    later = SIGNATURE.model_copy(update={"signed_at": MOMENT + timedelta(hours=1)})
    assert results.sign("result-1", later).state is ReportState.SIGNED
    for other in ({"signed_by": "bob"}, {"remark": None}):
        with pytest.raises(AlreadySigned, match="ada"):
            results.sign("result-1", SIGNATURE.model_copy(update=other))
    assert results.get("result-1").signature == SIGNATURE
    assert results.report("result-1").state is ReportState.SIGNED


def test_of_many_who_sign_together_one_is_kept(results: ResultStore) -> None:
    """Exactly one is told that the report is signed, and it is the one whose signature stays."""
    together = Barrier(6)

    def signed(result_id: str, name: str) -> str | None:
        together.wait()
        try:
            results.sign(result_id, SIGNATURE.model_copy(update={"signed_by": name}))
        except AlreadySigned:
            return None
        return name

    with ThreadPoolExecutor(6) as pool:
        for number in range(30):
            results.save_verdicts([verdict(f"r{number}")])
            results.save_report(report().model_copy(update={"result_id": f"r{number}"}))
            told = list(pool.map(signed, [f"r{number}"] * 6, "abcdef"))
            kept = results.get(f"r{number}").signature
            assert kept is not None
            assert [name for name in told if name is not None] == [kept.signed_by]


def test_many_writers_end_with_one_row_each(results: ResultStore) -> None:
    """Result writer and API may write together; SQLite makes them wait, not fail."""
    ids = [f"r{number % 10}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda result_id: results.save_verdicts([verdict(result_id)]), ids))
    assert len(results.page(ResultFilters(), None, 100).results) == 10


def test_stores_that_start_together_make_the_tables_once(tmp_path: Path) -> None:
    """Every process creates what is missing, whichever comes first."""
    stores = [ResultStore(f"sqlite:///{tmp_path}/results.db") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda store: store.save_verdicts([verdict()]), stores))
    assert all(store.get("result-1").verdict == verdict() for store in stores)
    for store in stores:
        store.close()


def test_sqlite_syncs_in_wal_mode(tmp_path: Path) -> None:
    """Readers do not wait for writers, and a stored row is on disk."""
    store = ResultStore(f"sqlite:///{tmp_path}/results.db")
    store.save_verdicts([verdict()])
    with store._database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    store.close()


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    """Nothing is read or written on a guess."""
    path = tmp_path / "results.db"
    store = ResultStore(f"sqlite:///{path}")
    store.save_verdicts([verdict()])
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    late = ResultStore(f"sqlite:///{path}")
    with pytest.raises(DatabaseVersionMismatch, match="99"):
        late.get("result-1")
    late.close()


def test_a_row_that_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    """A row that somebody edited is named, not passed on."""
    path = tmp_path / "results.db"
    store = ResultStore(f"sqlite:///{path}")
    store.save_verdicts([verdict()])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET verdict = '{}'")
    connection.close()
    with pytest.raises(RecordInvalid):
        store.get("result-1")
    store.close()


@pytest.mark.parametrize("url", ["results.db", "nosuchdb://x", ""])
def test_a_url_of_no_database_is_refused_at_the_start(url: str) -> None:
    """The setting is named with the way to write it."""
    with pytest.raises(SettingsInvalid, match="LYNCEUS_DATABASE_URL"):
        ResultStore(url)


def test_an_absent_database_is_a_typed_error(tmp_path: Path) -> None:
    """No password in the message, and no stack trace of a driver."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable):
        ResultStore(f"sqlite:///{tmp_path}/file/results.db").get("r1")
    with pytest.raises(StoreUnavailable) as caught:
        ResultStore("postgresql+psycopg://user:secret@127.0.0.1:1/lynceus").get("r1")
    assert "secret" not in caught.value.detail
