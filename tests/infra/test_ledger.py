"""The ledger's promises, kept on a real Redis server."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from schemas.verdict import Decision
from services.infra.process.errors import BadRequest, DuplicateConflict
from services.infra.process.heartbeat import Heartbeat
from services.infra.stores.ledger import (
    Added,
    AlreadyCommitted,
    CameraFrame,
    Committed,
    Decided,
    Duplicate,
    Entry,
    EventKind,
    Ledger,
    Queue,
    Stage,
)
from tests.conftest import WaitUntil
from tests.infra.samples import DIGEST, MOMENT, OTHER_DIGEST, PROBLEM, diagnosis, job, report, verdict


def taken(ledger: Ledger, queue: Queue = Queue.INSPECT, consumer: str = "w1") -> Entry:
    """The one entry that waits in the queue."""
    [entry] = ledger.jobs.read(queue, consumer, 10)
    return entry


def escalated(ledger: Ledger, result_id: str = "result-1") -> Entry:
    """The diagnosis of a job that was added, read, and decided as REJECT."""
    ledger.jobs.add(job(result_id), DIGEST)
    ledger.jobs.commit_verdict(taken(ledger), verdict(result_id), diagnosis(result_id))
    return taken(ledger, Queue.DIAGNOSE)


def test_an_added_job_waits_and_is_read_once(ledger: Ledger) -> None:
    """Nobody else gets what one consumer holds."""
    assert ledger.jobs.add(job(), DIGEST) == Added("result-1")
    entry = taken(ledger)
    assert (entry.job, entry.deliveries, entry.consumer) == (job(), 1, "w1")
    assert ledger.jobs.read(Queue.INSPECT, "w2", 10) == []
    assert ledger.jobs.waiting(Queue.INSPECT) == 1


def test_jobs_are_read_in_order_and_up_to_the_count(ledger: Ledger) -> None:
    """The oldest come first, and no more than asked for."""
    for number in range(5):
        ledger.jobs.add(job(f"r{number}"), DIGEST)
    assert [entry.job.result_id for entry in ledger.jobs.read(Queue.INSPECT, "w1", 3)] == ["r0", "r1", "r2"]
    assert [entry.job.result_id for entry in ledger.jobs.read(Queue.INSPECT, "w1", 3)] == ["r3", "r4"]


def test_reading_an_empty_queue_returns_at_once(ledger: Ledger) -> None:
    """A queue that nobody ever wrote to is empty, not an error."""
    assert ledger.jobs.read(Queue.DIAGNOSE, "w1", 10) == []
    assert ledger.jobs.waiting(Queue.DIAGNOSE) == 0
    assert ledger.jobs.oldest_wait_seconds(Queue.DIAGNOSE) == 0.0


def test_the_same_job_again_changes_nothing(ledger: Ledger) -> None:
    """A caller that lost the answer may ask again."""
    ledger.jobs.add(job(), DIGEST)
    assert ledger.jobs.add(job(), DIGEST) == Duplicate("result-1")
    assert ledger.jobs.waiting(Queue.INSPECT) == 1


def test_another_body_under_a_used_id_is_a_conflict(ledger: Ledger) -> None:
    """The first body stays in force."""
    ledger.jobs.add(job(), DIGEST)
    with pytest.raises(DuplicateConflict):
        ledger.jobs.add(job(), OTHER_DIGEST)
    assert ledger.jobs.waiting(Queue.INSPECT) == 1


def test_a_hundred_concurrent_adds_make_one_entry(ledger: Ledger) -> None:
    """Exactly one caller is told that it added the job."""
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: ledger.jobs.add(job(), DIGEST), range(100)))
    assert outcomes.count(Added("result-1")) == 1
    assert outcomes.count(Duplicate("result-1")) == 99
    assert len(ledger.jobs.read(Queue.INSPECT, "w1", 200)) == 1


def test_the_state_follows_the_job(ledger: Ledger) -> None:
    """Unknown, waiting, diagnosing, reported, with what was written at each step."""
    assert ledger.jobs.state("result-1") is None
    ledger.jobs.add(job(), DIGEST)
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert (state.stage, state.job, state.verdict) == (Stage.WAITING, job(), None)
    assert ledger.jobs.commit_verdict(taken(ledger), verdict(), diagnosis()) == Committed("result-1")
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert (state.stage, state.verdict, state.report) == (Stage.DIAGNOSING, verdict(), None)
    assert ledger.jobs.commit_report(taken(ledger, Queue.DIAGNOSE), report()) == Committed("result-1")
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert (state.stage, state.report) == (Stage.REPORTED, report())
    assert ledger.jobs.waiting(Queue.INSPECT) == ledger.jobs.waiting(Queue.DIAGNOSE) == 0


def test_a_verdict_without_escalation_ends_the_job(ledger: Ledger) -> None:
    """Nothing is queued for diagnosis, and the stage is final."""
    ledger.jobs.add(job(), DIGEST)
    ledger.jobs.commit_verdict(taken(ledger), verdict(decision=Decision.ACCEPT), None)
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert state.stage is Stage.DECIDED
    assert state.stage.is_final
    assert ledger.jobs.read(Queue.DIAGNOSE, "w1", 10) == []


def test_several_verdicts_are_committed_in_one_step(ledger: Ledger) -> None:
    """Each stands by itself: what another delivery has finished is told, and the others are written."""
    for number in range(3):
        ledger.jobs.add(job(f"r{number}"), DIGEST)
    entries = ledger.jobs.read(Queue.INSPECT, "w1", 10)
    ledger.jobs.commit_verdict(entries[1], verdict("r1"), None)
    outcomes = ledger.jobs.commit_verdicts(
        [
            Decided(entry, verdict(entry.job.result_id), diagnosis("r0") if number == 0 else None)
            for number, entry in enumerate(entries)
        ]
    )
    assert outcomes == [Committed("r0"), AlreadyCommitted("r1"), Committed("r2")]
    assert ledger.jobs.waiting(Queue.INSPECT) == 0
    assert ledger.jobs.waiting(Queue.DIAGNOSE) == 1
    assert [entry.result_id for entry in ledger.outbox.read("result-writer", 10)] == ["r1", "r0", "r2"]
    assert ledger.jobs.commit_verdicts([]) == []


def test_a_second_verdict_changes_nothing(ledger: Ledger) -> None:
    """The first one stands; no second result, event or diagnosis comes of the second."""
    ledger.jobs.add(job(), DIGEST)
    entry = taken(ledger)
    ledger.jobs.commit_verdict(entry, verdict(), diagnosis())
    assert ledger.jobs.commit_verdict(entry, verdict(decision=Decision.ACCEPT), None) == AlreadyCommitted(
        "result-1"
    )
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert state.verdict == verdict()
    assert len(ledger.outbox.read("result-writer", 10)) == 1
    assert ledger.jobs.waiting(Queue.DIAGNOSE) == 1
    assert [event.kind for event in ledger.events.after("0", 10, 0)] == [
        EventKind.ACCEPTED,
        EventKind.VERDICT,
    ]


def test_a_second_report_changes_nothing(ledger: Ledger) -> None:
    """Every report is written once."""
    entry = escalated(ledger)
    ledger.jobs.commit_report(entry, report())
    assert ledger.jobs.commit_report(entry, report()) == AlreadyCommitted("result-1")
    assert len(ledger.outbox.read("result-writer", 10)) == 2


def test_a_silent_consumer_loses_its_job_to_another(hasty_ledger: Ledger, wait_until: WaitUntil) -> None:
    """The delivery is counted, so that a job that kills its workers is noticed."""
    hasty_ledger.jobs.add(job(), DIGEST)
    taken(hasty_ledger)
    [second] = wait_until(lambda: hasty_ledger.jobs.read(Queue.INSPECT, "w2", 10))
    assert (second.deliveries, second.consumer) == (2, "w2")


def test_both_consumers_may_commit_and_the_first_one_counts(
    hasty_ledger: Ledger, wait_until: WaitUntil
) -> None:
    """A worker that was only slow does no harm."""
    hasty_ledger.jobs.add(job(), DIGEST)
    slow = taken(hasty_ledger)
    [quick] = wait_until(lambda: hasty_ledger.jobs.read(Queue.INSPECT, "w2", 10))
    assert hasty_ledger.jobs.commit_verdict(slow, verdict(), None) == Committed("result-1")
    assert hasty_ledger.jobs.commit_verdict(quick, verdict(), None) == AlreadyCommitted("result-1")
    assert hasty_ledger.jobs.waiting(Queue.INSPECT) == 0


def test_renewing_tells_what_is_still_held(hasty_ledger: Ledger, wait_until: WaitUntil) -> None:
    """The old consumer learns that it lost the job, and cannot take it back that way."""
    hasty_ledger.jobs.add(job(), DIGEST)
    first = taken(hasty_ledger)
    assert hasty_ledger.jobs.renew([first], "w1") == [first]
    [second] = wait_until(lambda: hasty_ledger.jobs.read(Queue.INSPECT, "w2", 10))
    assert hasty_ledger.jobs.renew([first], "w1") == []
    assert hasty_ledger.jobs.renew([second], "w2") == [second]


def test_renewing_does_not_count_as_a_delivery(hasty_ledger: Ledger, wait_until: WaitUntil) -> None:
    """A long batch that is alive is not held against its jobs."""
    hasty_ledger.jobs.add(job(), DIGEST)
    entry = taken(hasty_ledger)
    for _ in range(3):
        hasty_ledger.jobs.renew([entry], "w1")
    [second] = wait_until(lambda: hasty_ledger.jobs.read(Queue.INSPECT, "w2", 10))
    assert second.deliveries == 2


def test_released_work_is_free_at_once_and_not_counted(ledger: Ledger) -> None:
    """A worker that shuts down five times does not dead-letter its jobs."""
    ledger.jobs.add(job(), DIGEST)
    for number in range(5):
        entry = taken(ledger, consumer=f"w{number}")
        assert entry.deliveries == 1
        ledger.jobs.release([entry])


def test_work_handed_back_for_another_try_is_counted(ledger: Ledger) -> None:
    """The third delivery says that it is the third."""
    ledger.jobs.add(job(), DIGEST)
    for number in (1, 2, 3):
        entry = taken(ledger, consumer=f"w{number}")
        assert entry.deliveries == number
        ledger.jobs.retry([entry])


def test_released_work_comes_before_new_work(ledger: Ledger) -> None:
    """Handing back does not send a part to the end of the queue."""
    ledger.jobs.add(job("old"), DIGEST)
    entry = taken(ledger)
    ledger.jobs.add(job("new"), DIGEST)
    ledger.jobs.release([entry])
    assert [entry.job.result_id for entry in ledger.jobs.read(Queue.INSPECT, "w2", 10)] == ["old", "new"]


def test_what_another_holds_cannot_be_handed_back(hasty_ledger: Ledger, wait_until: WaitUntil) -> None:
    """A late release leaves the new holder's lease and count alone."""
    hasty_ledger.jobs.add(job(), DIGEST)
    first = taken(hasty_ledger)
    [second] = wait_until(lambda: hasty_ledger.jobs.read(Queue.INSPECT, "w2", 10))
    hasty_ledger.jobs.release([first])
    assert hasty_ledger.jobs.renew([second], "w2") == [second]


def test_the_third_delivery_can_be_buried(ledger: Ledger) -> None:
    """Dead letter, NOT_INSPECTED verdict, result and event come in one step; the job is at its end."""
    ledger.jobs.add(job(), DIGEST)
    for number in (1, 2):
        ledger.jobs.retry([taken(ledger, consumer=f"w{number}")])
    entry = taken(ledger, consumer="w3")
    dead = verdict(decision=Decision.NOT_INSPECTED)
    assert ledger.jobs.dead_letter(entry, PROBLEM, dead) == Committed("result-1")
    assert ledger.jobs.dead_letter(entry, PROBLEM, dead) == AlreadyCommitted("result-1")
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert (state.stage, state.verdict, state.problem) == (Stage.DEAD, dead, PROBLEM)
    [dead_letter] = ledger.jobs.dead_letters(10)
    assert (dead_letter.result_id, dead_letter.queue, dead_letter.deliveries) == (
        "result-1",
        Queue.INSPECT,
        3,
    )
    assert dead_letter.payload == job().model_dump_json()
    [result] = ledger.outbox.read("result-writer", 10)
    assert (result.stage, result.verdict, result.problem) == (Stage.DEAD, dead, PROBLEM)
    assert ledger.jobs.commit_verdict(entry, verdict(), None) == AlreadyCommitted("result-1")
    assert ledger.jobs.waiting(Queue.INSPECT) == 0


def test_an_inspection_is_not_dead_lettered_without_a_verdict(ledger: Ledger) -> None:
    """Every part ends with one of the four decisions."""
    ledger.jobs.add(job(), DIGEST)
    with pytest.raises(ValueError, match="NOT_INSPECTED"):
        ledger.jobs.dead_letter(taken(ledger), PROBLEM, None)
    assert ledger.jobs.waiting(Queue.INSPECT) == 1


def test_a_dead_lettered_diagnosis_keeps_its_verdict(ledger: Ledger) -> None:
    """The part stays rejected; only its report is given up, and a late one is not taken."""
    entry = escalated(ledger)
    ledger.jobs.dead_letter(entry, PROBLEM, None)
    state = ledger.jobs.state("result-1")
    assert state is not None
    assert (state.stage, state.verdict) == (Stage.DEAD, verdict())
    assert ledger.jobs.commit_report(entry, report()) == AlreadyCommitted("result-1")
    [first, second] = ledger.outbox.read("result-writer", 10)
    assert (first.stage, first.verdict) == (Stage.DIAGNOSING, verdict())
    assert (second.stage, second.verdict, second.problem) == (Stage.DEAD, None, PROBLEM)


def test_what_never_became_a_job_can_be_put_among_the_dead(ledger: Ledger) -> None:
    """The newest come first."""
    ledger.jobs.refuse("r1", PROBLEM, "a.txt")
    ledger.jobs.refuse("r2", PROBLEM, "b.txt")
    assert [each.payload for each in ledger.jobs.dead_letters(10)] == ["b.txt", "a.txt"]
    assert [each.payload for each in ledger.jobs.dead_letters(1)] == ["b.txt"]


def test_results_wait_until_they_are_acknowledged(hasty_ledger: Ledger, wait_until: WaitUntil) -> None:
    """A result writer that dies before it stored them leaves them to the next one; then they are gone."""
    hasty_ledger.jobs.add(job(), DIGEST)
    hasty_ledger.jobs.commit_verdict(taken(hasty_ledger), verdict(), None)
    [first] = hasty_ledger.outbox.read("result-writer-1", 10)
    [again] = wait_until(lambda: hasty_ledger.outbox.read("result-writer-2", 10))
    assert again == first
    hasty_ledger.outbox.acknowledge([again])
    assert hasty_ledger.outbox.read("result-writer-3", 10) == []
    assert hasty_ledger.jobs.state("result-1") is not None


def test_events_come_in_order_after_an_id(ledger: Ledger) -> None:
    """A reader that reconnects with its last id misses nothing that is kept."""
    ledger.jobs.commit_report(escalated(ledger), report())
    events = ledger.events.after("0", 10, 0)
    assert [event.kind for event in events] == [EventKind.ACCEPTED, EventKind.VERDICT, EventKind.REPORT]
    assert (events[1].decision, events[1].defect_class) == (Decision.REJECT, "scratch")
    assert ledger.events.after(events[0].event_id, 10, 0) == events[1:]
    assert ledger.events.after("0", 2, 0) == events[:2]
    assert ledger.events.newest_id() == events[-1].event_id
    assert ledger.events.after(ledger.events.newest_id(), 10, 5) == []


def test_a_reader_waits_for_the_next_event(ledger: Ledger) -> None:
    """It is woken by the event, not by its time running out."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ledger.events.after, ledger.events.newest_id(), 10, 10_000)
        ledger.jobs.add(job(), DIGEST)
        assert [event.result_id for event in waiting.result()] == ["result-1"]


@pytest.mark.parametrize("event_id", ["", "$", "now", "1-2-3", "-1", "1" * 30])
def test_what_is_no_event_id_is_refused(ledger: Ledger, event_id: str) -> None:
    """A browser's odd Last-Event-ID is the caller's mistake, not a store's."""
    with pytest.raises(BadRequest):
        ledger.events.after(event_id, 10, 0)


def test_signs_of_life_are_kept_by_name_for_a_day(ledger: Ledger) -> None:
    """The newest one of each process; one older than a day is forgotten."""
    now = datetime.now(UTC)
    heartbeat = Heartbeat(name="w1", kind="worker", moment=now, started_at=now, queues=(Queue.INSPECT,))
    ledger.telemetry.heartbeat(heartbeat)
    ledger.telemetry.heartbeat(heartbeat.model_copy(update={"finished": 3}))
    ledger.telemetry.heartbeat(heartbeat.model_copy(update={"name": "a1"}))
    ledger.telemetry.heartbeat(
        heartbeat.model_copy(update={"name": "gone", "moment": now - timedelta(days=2)})
    )
    assert [(heartbeat.name, heartbeat.finished) for heartbeat in ledger.telemetry.heartbeats()] == [
        ("a1", 0),
        ("w1", 3),
    ]


def test_the_last_frame_of_each_camera_is_known(ledger: Ledger) -> None:
    """The newest note replaces the one before."""
    ledger.telemetry.note_frame("cam-2", MOMENT, "accepted")
    ledger.telemetry.note_frame("cam-1", MOMENT, "dark")
    ledger.telemetry.note_frame("cam-1", MOMENT + timedelta(seconds=1), "accepted")
    assert ledger.telemetry.last_frames() == [
        CameraFrame(camera_id="cam-1", moment=MOMENT + timedelta(seconds=1), outcome="accepted"),
        CameraFrame(camera_id="cam-2", moment=MOMENT, outcome="accepted"),
    ]


def test_counters_add_up(ledger: Ledger) -> None:
    """From several processes as well."""
    ledger.telemetry.count("frames")
    ledger.telemetry.count("frames", 4)
    ledger.telemetry.count("late")
    assert ledger.telemetry.counters() == {"frames": 5, "late": 1}


def test_the_age_of_the_oldest_job_is_known(ledger: Ledger, wait_until: WaitUntil) -> None:
    """It grows while the job waits, and is 0 when none does."""
    ledger.jobs.add(job(), DIGEST)
    assert wait_until(lambda: ledger.jobs.oldest_wait_seconds(Queue.INSPECT) > 0)
    ledger.jobs.commit_verdict(taken(ledger), verdict(), None)
    assert ledger.jobs.oldest_wait_seconds(Queue.INSPECT) == 0.0
