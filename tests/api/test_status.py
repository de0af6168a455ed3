"""How the line is doing: in numbers, in words, for a scraper, for an orchestrator and for a person."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from schemas.problem import Problem
from schemas.verdict import Verdict
from services.api.state.latencies import latencies
from services.infra.process.names import Queue
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import StoredResult
from tests.api.conftest import Submit
from tests.api.line import ENGINE, WORKER, Line
from tests.conftest import FreshRedis


def test_the_status_tells_what_waits_and_who_works(submit: Submit, client: TestClient, line: Line) -> None:
    """Queues, processes, model, device, cameras, counters and latencies, each from where it is known."""
    for number in range(3):
        submit(f"key-{number}")
    line.decide(0.93)
    line.store()
    line.heartbeat()
    line.ledger.telemetry.note_frame("camera-1", datetime.now(UTC), "accepted")
    line.ledger.telemetry.count("frames_dropped", 2)
    status = client.get("/v1/status").json()

    assert {queue["queue"]: queue["waiting"] for queue in status["queues"]} == {"inspect": 2, "diagnose": 1}
    assert status["queues"][0]["oldest_wait_seconds"] > 0
    assert [process["is_alive"] for process in status["processes"]] == [True]
    assert status["models"] == [{"name": "lynceus-starter", "digest": "ab" * 32, "device": "cpu"}]
    assert status["cameras"][0]["frame"]["camera_id"] == "camera-1"
    assert status["counters"]["frames_dropped"] == 2
    stages = {latency["stage"]: latency for latency in status["latencies"]}
    assert stages["engine"]["p50_ms"] == stages["engine"]["p99_ms"] == 40.0
    assert stages["verdict"]["p50_ms"] == pytest.approx(60.0)


def test_bad_news_comes_first_and_in_words(submit: Submit, client: TestClient, line: Line) -> None:
    """Without a worker the first sentence says so, and how to fix it."""
    submit()
    alone = client.get("/v1/status").json()["in_words"]
    line.heartbeat(age_seconds=300)
    silent = client.get("/v1/status").json()["in_words"]
    line.heartbeat()
    well = client.get("/v1/status").json()["in_words"]

    assert "python -m worker" in alone[0]
    assert "silent for 5 min" in silent[1]
    assert well[0].startswith("1 part waits for a verdict")


def test_a_job_given_up_is_listed_with_its_reason(submit: Submit, client: TestClient, line: Line) -> None:
    """The dead-letter list holds the problem, and the status counts it."""
    result_id = submit().json()["result_id"]
    line.decide(0.93)
    (entry,) = line.ledger.jobs.read(Queue.DIAGNOSE, WORKER, 1)
    problem = client.get("/v1/nothing").json()
    line.ledger.jobs.dead_letter(entry, Problem.model_validate(problem), None)
    dead_letters = client.get("/v1/dead-letters").json()["dead_letters"]

    assert [(letter["result_id"], letter["problem"]) for letter in dead_letters] == [
        (result_id, Problem.model_validate(problem).model_dump(mode="json"))
    ]
    assert client.get("/v1/status").json()["dead_letters"] == 1
    assert "given up" in client.get(f"/v1/reports/{result_id}").json()["detail"]


def test_ready_needs_a_live_worker(client: TestClient, line: Line) -> None:
    """/healthz is about this process alone, /readyz about everything a verdict needs."""
    assert client.get("/healthz").status_code == 200
    line.heartbeat(age_seconds=300)
    waiting = client.get("/readyz")
    line.heartbeat()
    ready = client.get("/readyz")

    assert waiting.status_code == 503
    assert [error["field"] for error in waiting.json()["errors"]] == ["worker"]
    assert ready.status_code == 200
    assert ready.json()["checked"] == ["ledger", "frames", "database", "worker"]


def test_a_worker_that_cannot_go_on_is_not_ready(client: TestClient, line: Line) -> None:
    """It lives, but its engine does not come to an end: 503 with the reason, and the alarm on every page."""
    reason = "a step of the engine has lasted 301 s, longer than 300 s"
    line.heartbeat(fault=reason, engine=ENGINE)
    answered = client.get("/readyz")
    (error,) = answered.json()["errors"]

    assert answered.status_code == 503
    assert error["field"] == "worker"
    assert reason in error["detail"]
    assert error["hint"]
    assert f"worker-1@line cannot go on: {reason}" in client.get("/v1/status").json()["in_words"][0]
    assert reason in client.get("/system").text
    line.heartbeat(kind="worker", engine=ENGINE)
    assert client.get("/readyz").status_code == 200


def test_the_status_tells_in_words_what_the_engines_do(client: TestClient, line: Line) -> None:
    """Step, batch, waits, reuse, preemption and memory, for a person who does not read metrics."""
    line.heartbeat(engine=ENGINE)
    words = "\n".join(client.get("/v1/status").json()["in_words"])

    assert "takes 41 ms a step, 95 of 100 up to 60 ms, with 5.2 requests in each: 1234 tokens" in words
    assert "Of verdicts it has 5 at work and 3 waiting, half of them up to 12 ms; 75%" in words
    assert "Of reports it has 2 at work and 0 waiting, half of them up to 200 ms; 0%" in words
    assert "4 times one was preempted" in words
    assert "45% in use, and 30% keeps" in words


def test_the_dashboard_shows_each_engine(client: TestClient, line: Line) -> None:
    """One row for each priority of each worker; a silent worker's engine is not shown."""
    line.heartbeat(engine=ENGINE)
    page = client.get("/system").text
    line.heartbeat(engine=ENGINE, age_seconds=300)
    silent = client.get("/system").text

    assert "Engines" in page
    assert "step 41 / 60 ms" in page
    assert "12 / 40 ms" in page
    assert "Engines" not in silent


def test_a_store_away_is_named_with_its_hint(line: Line, fresh_redis: FreshRedis) -> None:
    """With the ledger down: 503 everywhere it is needed, the page says what to do, health still answers."""
    server = fresh_redis()
    with TestClient(replace(line, ledger=Ledger(server.url)).app()) as client:
        server.kill()
        ready = client.get("/readyz").json()
        page = client.get("/system")
        status = client.get("/v1/status")
        health = client.get("/healthz")

    assert {error["field"] for error in ready["errors"]} == {"ledger", "worker"}
    assert all(error["hint"] for error in ready["errors"])
    assert page.status_code == status.status_code == 503
    assert "What to do" in page.text
    assert status.json()["code"] == "store-unavailable"
    assert health.status_code == 200


def test_prometheus_can_read_the_metrics(submit: Submit, client: TestClient, line: Line) -> None:
    """Text that prometheus-client's own parser takes, with the queue's length in it."""
    from prometheus_client.parser import text_string_to_metric_families

    submit()
    line.heartbeat()
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    waiting = {sample.labels["queue"]: sample.value for sample in families["lynceus_waiting"].samples}
    assert waiting == {"inspect": 1.0, "diagnose": 0.0}
    assert families["lynceus_process_up"].samples[0].value == 1.0
    assert families["lynceus_worker_judges"].samples[0].value == 1.0


def test_prometheus_reads_the_engine_by_priority(client: TestClient, line: Line) -> None:
    """Each number of the engine's statistics is a family of its own, labelled by worker and priority."""
    from prometheus_client.parser import text_string_to_metric_families

    line.heartbeat(engine=ENGINE)
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}

    def value(family: str, **labels: str) -> float:
        wanted = {"name": "worker-1@line"} | labels
        return next(each.value for each in families[family].samples if each.labels == wanted)

    assert value("lynceus_engine_requests_waiting", priority="verdict") == 3
    assert value("lynceus_engine_requests_preemptions", priority="report") == 4
    assert value("lynceus_engine_requests_reused_tokens", priority="verdict") == 750
    assert value("lynceus_engine_wait_seconds", priority="report", quantile="0.95") == 1.5
    assert value("lynceus_engine_step_seconds", quantile="0.5") == 0.041
    assert value("lynceus_engine_batch_size") == 5.2
    assert value("lynceus_engine_cache_blocks_kept") == 60
    assert value("lynceus_stage_seconds", stage="commit", quantile="0.5") == 0.0008


def test_the_dashboard_shows_the_last_verdicts(submit: Submit, client: TestClient, line: Line) -> None:
    """Part, decision, picture and the way to the report are on the first page, from this server alone."""
    result_id = submit(part_id="SN-77").json()["result_id"]
    line.decide(0.93)
    line.diagnose()
    line.store()
    answered = client.get("/system")

    assert answered.headers["Content-Type"].startswith("text/html")
    assert f'href="/v1/reports/{result_id}"' in answered.text
    assert f'src="/v1/inspections/{result_id}/image"' in answered.text
    assert "SN-77" in answered.text
    assert "http:" not in answered.text
    assert "https:" not in answered.text


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_values_that_were_measured(values: list[float]) -> None:
    """By nearest rank: at least that share of the values is not above it, and it is one of them."""
    (latency,) = (item for item in latencies([_took(value) for value in values]) if item.stage == "engine")

    for share, found in ((0.5, latency.p50_ms), (0.95, latency.p95_ms), (0.99, latency.p99_ms)):
        assert found in values
        assert sum(value <= found for value in values) >= share * len(values)
        assert sum(value < found for value in values) < share * len(values)


def _took(engine_ms: float) -> StoredResult:
    from tests.infra.samples import verdict

    sample: Verdict = verdict()
    times = sample.processing_times.model_copy(update={"engine_ms": engine_ms})
    return StoredResult(verdict=sample.model_copy(update={"processing_times": times}))
