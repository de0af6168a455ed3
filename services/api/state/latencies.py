"""How long the last verdicts and reports took, stage by stage."""

from collections.abc import Sequence

from schemas.base import Message
from schemas.verdict import Decision
from services.infra.process.heartbeat import percentile
from services.infra.stores.results import StoredResult

RECENT_RESULTS = 200
"""How many of the newest results the percentiles are taken over."""


class Latency(Message):
    """Percentiles of one stage in milliseconds, by nearest rank over the newest results."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def latencies(results: Sequence[StoredResult]) -> tuple[Latency, ...]:
    """One entry per stage that any of the results went through; parts not inspected are left out."""
    verdicts = [
        row.verdict.processing_times for row in results if row.verdict.decision is not Decision.NOT_INSPECTED
    ]
    reports = [row.report.processing_times for row in results if row.report is not None]
    stages = {
        "queue": [times.queue_ms for times in verdicts],
        "decode": [times.decode_ms for times in verdicts],
        "engine": [times.engine_ms for times in verdicts],
        "verdict": [times.total_ms for times in verdicts],
        "report": [times.total_ms for times in reports],
    }
    return tuple(_latency(stage, sorted(values)) for stage, values in stages.items() if values)


def _latency(stage: str, values: Sequence[float]) -> Latency:
    return Latency(
        stage=stage,
        count=len(values),
        p50_ms=percentile(values, 0.50),
        p95_ms=percentile(values, 0.95),
        p99_ms=percentile(values, 0.99),
    )
