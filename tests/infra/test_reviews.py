"""What people decide on parts: added and never changed, one part before one person."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from schemas.verdict import Decision
from services.infra.process.errors import AlreadyReviewed, NotFound
from services.infra.stores.results import (
    ReasonCode,
    ResultFilters,
    ResultStore,
    ReviewDraft,
    Signature,
    VerificationState,
    review_store,
)
from services.infra.stores.results.cursor import place
from tests.infra.postgres import postgres_url
from tests.infra.samples import MOMENT, part, report, verdict

CONFIRMED = ReviewDraft(
    reviewer="ada", verification=VerificationState.CONFIRMED, defect_class="scratch", remark="deep"
)
OVERRULED = ReviewDraft(reviewer="bob", verification=VerificationState.REJECTED, follows=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "postgresql":
        return postgres_url(request.getfixturevalue("postgres_server"))
    return f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def results(url: str) -> Iterator[ResultStore]:
    """Four results: REJECT r0 and r2 of station-1, REVIEW r1 of station-2, and ACCEPT r3."""
    store = ResultStore(url)
    store.save_verdicts(
        [
            verdict("r0"),
            verdict("r1", Decision.REVIEW, of=part(station_id="station-2"), moment=_later(1)),
            verdict("r2", moment=_later(2)),
            verdict("r3", Decision.ACCEPT, moment=_later(3)),
        ]
    )
    yield store
    store.close()


def test_a_review_stands_beside_the_verdict(results: ResultStore) -> None:
    """Who, when, what was held before and what is held now; the verdict is what it was."""
    first = results.reviews.add("r0", CONFIRMED, "browser-1")
    second = results.reviews.add("r0", OVERRULED, "browser-2")

    assert results.reviews.of("r0") == (first, second)
    assert first.before.verification is VerificationState.NOT_VERIFIED_YET
    assert first.before.defect_class == "scratch"
    assert second.before.verification is VerificationState.CONFIRMED
    assert second.reviewed_at > first.reviewed_at
    assert results.get("r0").verdict == verdict("r0")
    assert results.get("r0").verification is VerificationState.REJECTED


def test_a_decision_on_what_was_decided_meanwhile_is_refused(results: ResultStore) -> None:
    """The second person learns it and nothing of theirs is kept; an unknown part is an error."""
    results.reviews.add("r0", CONFIRMED, "browser-1")
    with pytest.raises(AlreadyReviewed, match="ada"):
        results.reviews.add("r0", CONFIRMED, "browser-2")
    with pytest.raises(NotFound):
        results.reviews.add("nothing", CONFIRMED, "browser-2")
    assert len(results.reviews.of("r0")) == 1


def test_two_people_never_get_the_same_part(results: ResultStore) -> None:
    """Oldest first, each part before one person; what is decided goes, accepted parts are not asked."""
    claimed = [results.reviews.claim(f"browser-{number}", "ada") for number in range(4)]

    assert [each and each.verdict.result_id for each in claimed] == ["r0", "r1", "r2", None]
    with pytest.raises(AlreadyReviewed, match="another person"):
        results.reviews.add("r0", CONFIRMED, "browser-1")
    with pytest.raises(AlreadyReviewed):
        results.reviews.claim_one("r0", "browser-1")
    results.reviews.add("r0", CONFIRMED, "browser-0")
    assert results.reviews.waiting() == 2
    assert results.reviews.waiting("station-2") == 1


def test_many_at_once_never_get_the_same_part(results: ResultStore) -> None:
    """Claims that race end with different parts, or with none."""
    with ThreadPoolExecutor(6) as people:
        claimed = list(people.map(lambda n: results.reviews.claim(f"browser-{n}", "ada"), range(6)))
    names = [each.verdict.result_id for each in claimed if each is not None]

    assert sorted(names) == ["r0", "r1", "r2"]


def test_a_lease_runs_out(results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who went away blocks nobody for ever; the next claim of a holder frees what it had."""
    monkeypatch.setattr(review_store, "LEASE", timedelta(seconds=-1))
    results.reviews.claim("browser-1", "ada")
    again = results.reviews.claim("browser-2", "bob")
    assert again is not None
    assert again.verdict.result_id == "r0"


def test_a_part_can_be_taken_by_station_or_skipped(results: ResultStore) -> None:
    """`station` narrows, `after` passes over; what a person cannot tell is left to the others."""
    at_station = results.reviews.claim("browser-1", "ada", station="station-2")
    assert at_station is not None
    assert at_station.verdict.result_id == "r1"
    skipped = results.reviews.claim("browser-1", "ada", after=place(verdict("r0")))
    assert skipped is not None
    assert skipped.verdict.result_id == "r1"
    unsure = ReviewDraft(
        reviewer="ada", verification=VerificationState.NOT_VERIFIED_YET, reason=ReasonCode.CANNOT_TELL
    )
    results.reviews.add("r0", unsure, "browser-1")
    mine, theirs = results.reviews.claim("browser-1", "ada"), results.reviews.claim("browser-2", "bob")
    assert mine is not None
    assert theirs is not None
    assert (mine.verdict.result_id, theirs.verdict.result_id) == ("r1", "r0")


def test_what_is_undone_awaits_a_person_again(results: ResultStore) -> None:
    """Undoing is a record of its own."""
    results.reviews.add("r0", CONFIRMED, "browser-1")
    undo = ReviewDraft(
        reviewer="ada",
        verification=VerificationState.NOT_VERIFIED_YET,
        reason=ReasonCode.UNDONE,
        follows=1,
    )
    results.reviews.add("r0", undo, "browser-1")
    assert results.reviews.waiting() == 3
    assert [each.verification.value for each in results.reviews.of("r0")] == [
        "DefectConfirmed",
        "NotVerifiedYet",
    ]


@pytest.mark.parametrize(
    ("verification", "reason", "defect_class"),
    [
        ("NotVerifiedYet", None, None),
        ("DefectConfirmed", "cannot-tell", None),
        ("DefectRejected", None, "scratch"),
    ],
)
def test_a_review_that_contradicts_itself_is_refused(
    verification: str, reason: str | None, defect_class: str | None
) -> None:
    """No decision without saying why, no defect class where there is no defect."""
    with pytest.raises(ValidationError):
        ReviewDraft.model_validate(
            {
                "reviewer": "ada",
                "verification": verification,
                "reason": reason,
                "defect_class": defect_class,
            }
        )


def test_results_are_found_by_what_people_decided(results: ResultStore) -> None:
    """By verification, camera, order, and whether a report is signed."""
    results.reviews.add("r0", CONFIRMED, "browser-1")
    results.save_report(report().model_copy(update={"result_id": "r1"}))

    def found(**filters: object) -> list[str]:
        page = results.page(ResultFilters.model_validate(filters), None, 10)
        return [row.verdict.result_id for row in page.results]

    assert found(verification="DefectConfirmed") == ["r0"]
    assert found(verification="NotVerifiedYet") == ["r3", "r2", "r1"]
    assert found(camera="camera-1", job_id="r2") == ["r2"]
    assert found(has_report=True, is_signed=False) == ["r1"]
    results.sign("r1", Signature(signed_by="ada", signed_at=MOMENT))
    assert found(has_report=True, is_signed=False) == []
    assert found(is_signed=True) == ["r1"]


def test_stations_are_counted_by_decision(results: ResultStore) -> None:
    """Since a moment, which is included."""
    tallies = {each.station_id: each.counts for each in results.tallies(_later(1))}

    assert tallies == {
        "station-1": {Decision.REJECT: 1, Decision.ACCEPT: 1},
        "station-2": {Decision.REVIEW: 1},
    }


VERSION_1 = """
CREATE TABLE results (result_id VARCHAR(128) PRIMARY KEY, creation_time {moment} NOT NULL,
  station_id VARCHAR(128) NOT NULL, recipe_id VARCHAR(128) NOT NULL, part_id VARCHAR(128) NOT NULL,
  lot_id VARCHAR(128), decision VARCHAR(16) NOT NULL, defect_class VARCHAR(128), verdict TEXT NOT NULL,
  report TEXT, problem TEXT, signature TEXT);
CREATE TABLE schema_version (id INTEGER PRIMARY KEY, version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1, 1)
"""


def test_a_database_of_the_version_before_is_brought_up_to_date(url: str) -> None:
    """Cameras and orders are found in old results too, and old parts that nobody judged await nobody."""
    engine = create_engine(url)
    old = verdict("old")
    with engine.begin() as connection:
        moment = "DATETIME" if engine.dialect.name == "sqlite" else "TIMESTAMP WITH TIME ZONE"
        for statement in VERSION_1.format(moment=moment).split(";"):
            connection.execute(text(statement))
        connection.execute(
            text(
                "INSERT INTO results (result_id, creation_time, station_id, recipe_id, part_id, decision,"
                " verdict) VALUES"
                " ('old', '2026-03-04 05:06:07', 'station-1', 'surface', 'part-1', 'REJECT', :verdict)"
            ),
            {"verdict": old.model_dump_json()},
        )
    engine.dispose()
    stores = [ResultStore(url) for _ in range(3)]
    with ThreadPoolExecutor(3) as processes:
        found = list(processes.map(lambda store: store.get("old"), stores))

    assert {each.verdict.result_id for each in found} == {"old"}
    (store, *_) = stores
    page = store.page(ResultFilters(camera="camera-1", job_id="old"), None, 10)
    assert [row.verdict for row in page.results] == [old]
    assert store.reviews.waiting() == 0
    store.reviews.add("old", CONFIRMED, "browser-1")
    for each in stores:
        each.close()


def _later(seconds: int) -> datetime:
    return MOMENT + timedelta(seconds=seconds)
