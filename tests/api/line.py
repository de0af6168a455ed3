"""A line for the API's tests: real stores, and a hand that does what worker and result writer do."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from fastapi import FastAPI
from PIL import Image
from redis import Redis

from schemas.job import DiagnosisJob, InspectionJob
from schemas.report import Cause, Diagnosis, DiagnosisReport
from schemas.verdict import ClassScore, Decision, ProcessingTimes, Verdict, Versions
from services.api.app import create_app
from services.infra.intake import RecipeBook
from services.infra.process.heartbeat import EngineStatus, Heartbeat, PriorityStatus, StageTime
from services.infra.process.names import Queue, wake_up_key
from services.infra.process.settings import ApiSettings
from services.infra.stores.frames import FrameStore
from services.infra.stores.ledger import Ledger
from services.infra.stores.results import ResultStore
from services.infra.stores.wake_up import WakeUp
from services.web.pages import add_pages

ROOT = Path(__file__).resolve().parents[2]
WORKER = "worker-of-the-test"

DIAGNOSIS = Diagnosis(
    defect="scratch",
    where="upper left",
    severity="major",
    evidence=("A thin bright line crosses the grooves.", "It does not follow the tool marks."),
    probable_causes=(
        Cause(cause="A chip dragged along the surface.", likelihood="high"),
        Cause(cause="cannot tell", likelihood="cannot tell"),
    ),
    containment="Hold the lot and inspect every part of it.",
    corrective_actions=("Clean the fixture.", "Check the coolant nozzle."),
)


ENGINE = EngineStatus(
    verdicts=PriorityStatus(
        waiting=3,
        running=5,
        finished=40,
        failed=1,
        cancelled=0,
        prompt_tokens=1000,
        reused_tokens=750,
        completion_tokens=0,
        preemptions=0,
        wait_p50=0.012,
        wait_p95=0.04,
    ),
    reports=PriorityStatus(
        waiting=0,
        running=2,
        finished=6,
        failed=0,
        cancelled=1,
        prompt_tokens=500,
        reused_tokens=0,
        completion_tokens=900,
        preemptions=4,
        wait_p50=0.2,
        wait_p95=1.5,
    ),
    steps=600,
    step_p50=0.041,
    step_p95=0.06,
    step_age=0.01,
    batch_mean=5.2,
    tokens_per_second=1234.0,
    cache_bytes=64_000_000,
    cache_blocks=200,
    cache_blocks_used=90,
    cache_blocks_kept=60,
    images_seen=50,
    images_reused=46,
)
"""What an engine might tell that is well and busy."""


class Answer(Protocol):
    """What the tests read of a response, whichever client brought it."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, in any case."""

    @property
    def text(self) -> str:
        """The body as text."""

    def json(self) -> dict[str, Any]:
        """The body as JSON."""


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file with this picture."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(seed: int = 0, width: int = 96, height: int = 80) -> Image.Image:
    """A noisy picture that passes the quality gate; each seed makes another one."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(seed: int = 0) -> bytes:
    """The bytes of a picture that passes the quality gate."""
    return encoded(picture(seed))


def form(key: str, *, data: bytes | None = None, **fields: str) -> dict[str, Any]:
    """The arguments of a complete multipart submission; `fields` are added or replaced."""
    return {
        "headers": {"Idempotency-Key": key},
        "data": {"recipe_id": "surface", "part_id": "SN-1"} | fields,
        "files": {"image": ("part.png", png() if data is None else data)},
    }


@dataclass(frozen=True)
class Line:
    """The stores of one application, and the work that other processes would do on them."""

    settings: ApiSettings
    ledger: Ledger
    frames: FrameStore
    results: ResultStore
    wake_up: WakeUp
    recipes: RecipeBook

    def app(self, **changes: object) -> FastAPI:
        """The application with its pages over these stores; `changes` are settings."""
        settings = self.settings.model_copy(update=changes)
        app = create_app(settings, self.ledger, self.frames, self.results, self.wake_up, self.recipes)
        add_pages(app)
        return app

    def woken(self) -> set[Queue]:
        """The queues with a wake-up that no worker has received yet."""
        with Redis.from_url(self.settings.ledger_url) as client:
            return {queue for queue in Queue if client.exists(wake_up_key(queue))}

    def empty_ledger(self) -> Ledger:
        """A ledger that has forgotten everything: another database of the same server."""
        return Ledger(self.settings.ledger_url.removesuffix("/0") + "/1")

    def decide(self, defect_probability: float = 0.93) -> Verdict:
        """Give the oldest waiting part a verdict, as a worker does."""
        (entry,) = self.ledger.jobs.read(Queue.INSPECT, WORKER, 1)
        assert isinstance(entry.job, InspectionJob)
        verdict = self._verdict(entry.job, defect_probability)
        diagnosis = None
        if verdict.decision is not Decision.ACCEPT:
            diagnosis = DiagnosisJob(
                result_id=verdict.result_id,
                job_id=verdict.job_id,
                part=verdict.part,
                frame=verdict.frame,
                verdict=verdict,
                creation_time=verdict.creation_time,
            )
        self.ledger.jobs.commit_verdict(entry, verdict, diagnosis)
        return verdict

    def diagnose(self, diagnosis: Diagnosis = DIAGNOSIS) -> DiagnosisReport:
        """Write the oldest waiting report, as a worker does."""
        (entry,) = self.ledger.jobs.read(Queue.DIAGNOSE, WORKER, 1)
        assert isinstance(entry.job, DiagnosisJob)
        verdict = entry.job.verdict
        report = DiagnosisReport(
            result_id=verdict.result_id,
            job_id=verdict.job_id,
            part=verdict.part,
            frame=verdict.frame,
            decision=verdict.decision,
            defect_class=verdict.defect_class,
            diagnosis=diagnosis,
            reasoning="A thin bright line runs across the grooves at the upper left. It is a scratch.",
            versions=verdict.versions,
            processing_times=verdict.processing_times,
            creation_time=datetime.now(UTC),
        )
        self.ledger.jobs.commit_report(entry, report)
        return report

    def store(self) -> None:
        """Store what is decided and written, and drop the pixels, as the result writer does."""
        entries = self.ledger.outbox.read("result-writer-of-the-test", 1000)
        for entry in entries:
            if entry.verdict is not None:
                self.results.save_verdicts([entry.verdict])
            if entry.report is not None:
                self.results.save_report(entry.report)
            if entry.stage.is_final:
                self.frames.delete(entry.result_id)
        self.ledger.outbox.acknowledge(entries)

    def heartbeat(
        self,
        *,
        age_seconds: float = 0.0,
        kind: str = "worker",
        fault: str | None = None,
        engine: EngineStatus | None = None,
    ) -> None:
        """Give a heartbeat of a process, now or some seconds ago."""
        now = datetime.now(UTC)
        self.ledger.telemetry.heartbeat(
            Heartbeat(
                name=f"{kind}-1@line",
                kind=kind,
                moment=now - timedelta(seconds=age_seconds),
                started_at=now - timedelta(hours=1),
                finished=7,
                queues=(Queue.INSPECT, Queue.DIAGNOSE),
                model_name="lynceus-starter" if kind == "worker" else None,
                model_digest="ab" * 32 if kind == "worker" else None,
                device="cpu" if kind == "worker" else None,
                code_version="0.1.0",
                fault=fault,
                engine=engine,
                stages=(StageTime(stage="commit", count=7, p50_ms=0.8, p95_ms=1.6),),
            )
        )

    def _verdict(self, job: InspectionJob, defect_probability: float) -> Verdict:
        recipe = self.recipes.get(job.part.recipe_id)
        limits = recipe.thresholds
        decision = Decision.REVIEW
        if defect_probability < limits.accept_below:
            decision = Decision.ACCEPT
        elif defect_probability >= limits.reject_from:
            decision = Decision.REJECT
        good, first, *others = (defect.name for defect in recipe.classes)
        shares = {good: 1 - defect_probability, first: defect_probability} | dict.fromkeys(others, 0.0)
        now = datetime.now(UTC)
        return Verdict(
            result_id=job.result_id,
            job_id=job.job_id,
            part=job.part,
            frame=job.frame,
            decision=decision,
            defect_class=None if decision is Decision.ACCEPT else first,
            defect_probability=defect_probability,
            scores=tuple(ClassScore(name=name, probability=share) for name, share in shares.items()),
            versions=Versions(
                code_version="0.1.0",
                model_name="lynceus-starter",
                model_digest="ab" * 32,
                recipe_digest=recipe.digest,
            ),
            processing_times=ProcessingTimes(
                start_time=now - timedelta(milliseconds=50),
                end_time=now,
                queue_ms=10.0,
                decode_ms=4.0,
                engine_ms=40.0,
            ),
            creation_time=now,
            is_simulated=job.is_simulated,
        )
