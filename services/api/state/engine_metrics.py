"""The part of /metrics that tells of the workers' engines, per priority, and of each process's own stages."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.api.state.plant import Process
from services.infra.process.heartbeat import EngineStatus, PriorityStatus

REQUEST_GAUGES = {
    "waiting": "Requests that wait in the engine.",
    "running": "Requests that the engine is at work on.",
}
REQUEST_COUNTERS = {
    "finished": "Requests answered.",
    "failed": "Requests that ended with an error.",
    "cancelled": "Requests whose caller had gone.",
    "prompt_tokens": "Tokens of prompts.",
    "reused_tokens": "Tokens of prompts that were computed for an earlier one.",
    "completion_tokens": "Tokens written.",
    "preemptions": "Requests that gave up their memory and began anew.",
}
ENGINE_GAUGES = {
    "step_age": ("step_age_seconds", "How long the present step has lasted."),
    "batch_mean": ("batch_size", "Requests that share a step, mean of recent steps."),
    "tokens_per_second": ("tokens_per_second", "Tokens computed a second of work, of recent steps."),
    "cache_bytes": ("cache_bytes", "Memory for keys and values."),
    "cache_blocks": ("cache_blocks", "Blocks of that memory."),
    "cache_blocks_used": ("cache_blocks_used", "Blocks that belong to running requests."),
    "cache_blocks_kept": ("cache_blocks_kept", "Blocks that hold what a later prompt may begin with."),
}
ENGINE_COUNTERS = {
    "steps": "Steps of the engine.",
    "images_seen": "Images that went through the vision tower.",
    "images_reused": "Images whose features were there already.",
}


def engine_metrics(processes: Sequence[Process]) -> Iterator[Metric]:
    """Families of all live engines; those of a silent process would stand still and mislead."""
    alive = [process for process in processes if process.is_alive]
    engines = [
        (each.heartbeat.name, each.heartbeat.engine) for each in alive if each.heartbeat.engine is not None
    ]
    yield from _by_engine(engines)
    yield from _by_priority(
        [
            ((name, priority), status)
            for name, engine in engines
            for priority, status in (("verdict", engine.verdicts), ("report", engine.reports))
        ]
    )
    yield _stages(alive)


def _by_engine(engines: Sequence[tuple[str, EngineStatus]]) -> Iterator[Metric]:
    for field, (name, help_text) in ENGINE_GAUGES.items():
        gauge = GaugeMetricFamily(f"lynceus_engine_{name}", help_text, labels=["name"])
        for worker, engine in engines:
            gauge.add_metric([worker], getattr(engine, field))
        yield gauge
    for field, help_text in ENGINE_COUNTERS.items():
        counter = CounterMetricFamily(f"lynceus_engine_{field}", help_text, labels=["name"])
        for worker, engine in engines:
            counter.add_metric([worker], getattr(engine, field))
        yield counter
    step = _quantiles("lynceus_engine_step_seconds", "Duration of recent steps.", ["name"])
    for worker, engine in engines:
        _add_quantiles(step, [worker], engine.step_p50, engine.step_p95)
    yield step


def _by_priority(queues: Iterable[tuple[tuple[str, str], PriorityStatus]]) -> Iterator[Metric]:
    queues = list(queues)
    labels = ["name", "priority"]
    for kind, families in ((GaugeMetricFamily, REQUEST_GAUGES), (CounterMetricFamily, REQUEST_COUNTERS)):
        for field, help_text in families.items():
            family = kind(f"lynceus_engine_requests_{field}", help_text, labels=labels)
            for values, status in queues:
                family.add_metric(values, getattr(status, field))
            yield family
    wait = _quantiles("lynceus_engine_wait_seconds", "From a request to the first work on it.", labels)
    for values, status in queues:
        _add_quantiles(wait, list(values), status.wait_p50, status.wait_p95)
    yield wait


def _stages(processes: Sequence[Process]) -> Metric:
    stages = _quantiles("lynceus_stage_seconds", "Own time of a process by stage.", ["name", "stage"])
    for process in processes:
        for time in process.heartbeat.stages:
            labels = [process.heartbeat.name, time.stage]
            _add_quantiles(stages, labels, time.p50_ms / 1000.0, time.p95_ms / 1000.0)
    return stages


def _quantiles(name: str, help_text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=[*labels, "quantile"])


def _add_quantiles(family: GaugeMetricFamily, labels: Sequence[str], p50: float, p95: float) -> None:
    family.add_metric([*labels, "0.5"], p50)
    family.add_metric([*labels, "0.95"], p95)
